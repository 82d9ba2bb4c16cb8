"""Entry of `chronosctl`."""

import sys

from cli.chronosctl.app import run


def main() -> None:
    """Runs the command line: exit status 0 done, 1 failed, 2 wrong usage."""
    raise SystemExit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
