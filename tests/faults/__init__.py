"""Evidence that no run is missed and none is doubled: what happened, and what to make of it."""
