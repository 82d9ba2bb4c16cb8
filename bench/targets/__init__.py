"""Recorded deliveries a second to each kind of target, with its real server beside."""
