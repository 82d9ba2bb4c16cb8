"""`chronos`: runs the whole mesh on one machine.

Owns: the processes of a local mesh, their ports, logs and secrets in one data directory. Promises: a child that dies
comes back; when the command ends, however it ends, no child is left. Calls: etcd (set-up, keys), gRPC health of each
service. It imports no service: they are started as processes.
"""
