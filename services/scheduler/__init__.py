"""The scheduler decides WHEN.

Owns: Job with its versions, Calendar, Namespace (its limits), and what is asked of runs. Promises: every occurrence of
an enabled job is handed to a dispatcher or has a record that says why not; at most one accepted execution for each
(job, scheduled time); a read sees every acknowledged write; what a policy refuses does not happen. Calls: dispatcher
(deliveries, cancellations), history (seals, notes, look-ups, decisions of policies), policy (decisions), etcd. Watched
by: nobody yet.
"""
