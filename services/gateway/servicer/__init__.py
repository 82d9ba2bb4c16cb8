"""The RPC edge of the gateway."""
