"""Keeps secrets out of answers."""

MASK = "********"


def masked(secret: str) -> str:
    """What a secret reads as. Nothing stays nothing."""
    return MASK if secret else ""


def unmasked(given: str, stored: str) -> str:
    """The secret that is meant: a mask that comes back means the stored one."""
    return stored if given == MASK else given
