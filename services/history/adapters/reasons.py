"""Why a ledger refuses writes; what the mesh calls it."""

LEDGER_FULL = "LEDGER_FULL"
LEDGER_CORRUPT = "LEDGER_CORRUPT"
LEDGER_ERROR = "LEDGER_ERROR"
