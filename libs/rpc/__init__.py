"""gRPC for every service: a server that checks, counts and explains each call, and channels to other services.

A servicer method gets a request that is authorised and well-formed, finds out who calls through `context.current()`,
and raises `libs.faults` for everything that a caller can understand.
"""
