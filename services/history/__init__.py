"""History: the durable ledger of executions, and the account of what policies decided.

Owns Execution, DeadLetter and PolicyDecision. Promises: what it has acknowledged is on disk; one record per execution,
of which the first final status stays; a delivery that fails for good is a dead letter from the same moment on; a start
of an owner that has been replaced is refused; a watcher that resumes misses nothing. Calls nobody but etcd (membership,
API keys). Dispatchers and schedulers record here; the edge reads and watches.
"""
