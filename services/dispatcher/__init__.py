"""The dispatcher: delivers due executions to their targets, and decides how.

Owns: the delivery of an execution: its attempts, their back-off, and the verdict.
Promises: what it took is delivered or failed, and recorded, whatever single target, ledger or scheduler is away;
the same execution handed over twice is sent once; nothing waits in memory without a bound.
Calls: history (a stream of records) and customers' endpoints.
Watched by: nobody; schedulers hear how their executions end on the stream that handed them over.
"""
