"""The RPC edge of the scheduler: a module for each proto service."""
