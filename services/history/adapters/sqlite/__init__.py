"""The ledger in one SQLite file that several processes of a machine may share."""
