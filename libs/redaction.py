"""What stands in the place of a secret that is not shown."""

MASK = "********"
