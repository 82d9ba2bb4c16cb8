"""`H` in a cron field: a number that stays the same for a job and differs between jobs."""

from hashlib import blake2b


def hashed(seed: str, field_index: int, count: int) -> int:
    """A number from 0 to `count` - 1 that depends on the seed and the field only.

    Kept stable between releases: jobs would move otherwise. Fields are numbered from seconds = 0 to day-of-week = 5,
    whether or not the expression has seconds.
    """
    digest = blake2b(f"{seed}\0{field_index}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % count
