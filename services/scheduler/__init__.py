"""The scheduler decides WHEN.

Owns: Job and its triggers. Promises: every occurrence of an enabled job is handed to a dispatcher or has a record
that says why not; at most one accepted execution for each (job, scheduled time); a read sees every acknowledged
write. Calls: dispatcher (deliveries), history (seals, notes), etcd. Watched by: nobody yet.
"""
