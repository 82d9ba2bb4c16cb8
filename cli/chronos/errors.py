"""What can go wrong with a mesh, in one line for the person who runs it."""

FAILED = 1
MISUSED = 2
NO_MESH = 3


class MeshError(Exception):
    """A sentence that says what is wrong and how to fix it, and the exit code that goes with it."""

    def __init__(self, message: str, *, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code
