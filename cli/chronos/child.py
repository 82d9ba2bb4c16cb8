"""Becomes another program that dies together with the process that started it.

Run as a script: `python -I -S child.py PARENT_PID PROGRAM ARGUMENT…`. On Linux the kernel then kills the program when
the thread that forked it ends (prctl(2), PR_SET_PDEATHSIG; the setting survives execve), so that a supervisor that is
killed leaves nothing behind. Elsewhere it only runs the program, and the next `chronos up` removes what was left.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ties this process to its parent and executes the program; returns never."""
    parent = int(sys.argv[1])
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)
    try:
        os.execvp(sys.argv[2], sys.argv[2:])
    except OSError as error:
        print(f"cannot run {sys.argv[2]}: {error.strerror}", file=sys.stderr)
        os._exit(127)


if __name__ == "__main__":
    main()
