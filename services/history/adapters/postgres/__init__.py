"""The ledger in a PostgreSQL database that several replicas of history may share."""
