"""The RPC edge, one module for each proto service."""
