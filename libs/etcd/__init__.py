"""What services do with etcd: read, write in transactions, follow prefixes, hold a lease, own shards.

Every call has a deadline and raises a Fault (mostly Unavailable); a write whose outcome is unknown is never repeated.
Nothing here starts a task of its own: what has to run for long is a `run()` that its caller puts into a TaskGroup.
"""
