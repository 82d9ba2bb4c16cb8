"""What is sent to a target of each protocol, and what its answer means. Pure."""
