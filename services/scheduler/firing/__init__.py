"""Firing: from a shard won to a run recorded. Calls history and the dispatchers; nothing in here answers an RPC."""
