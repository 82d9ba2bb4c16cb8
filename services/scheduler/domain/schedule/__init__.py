"""When something runs: pure functions from a moment to the next one."""
