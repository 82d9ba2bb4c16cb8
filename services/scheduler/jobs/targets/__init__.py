"""What each kind of target means where it leaves something out, and what it must be; one module for each protocol."""
