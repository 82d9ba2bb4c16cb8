"""The dispatcher: delivers due executions to their targets, and decides how.

Owns: the delivery of an execution: its attempts, their back-off, and the verdict; the circuit breakers of hosts.
Promises: what it took is delivered, failed or cancelled, and recorded, whatever single target, ledger or scheduler is
away; the same execution handed over twice is sent once; AT_MOST_ONCE is sent only by who has claimed it; namespaces
take turns; nothing waits in memory without a bound.
Calls: history (a stream of records), etcd (its breakers, under its lease) and customers' endpoints.
Watched by: nobody; schedulers hear how their executions end on the stream that handed them over.
"""
