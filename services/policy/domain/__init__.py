"""The language of policies: reads them, compiles them once, judges by them in bounded time. Pure."""
