"""What an execution is to the ledger, and how it moves on. Pure."""
