"""Policy decides what MAY be.

Owns: Policy with its versions. Promises: what is acknowledged as a policy compiles; a policy means the same on every
replica; a decision says which rules spoke, what they looked at and what stood there. Calls: etcd, and no other
service. Watched by: scheduler, which learns what applies and what it has to tell.
"""
