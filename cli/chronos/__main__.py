"""Entry of `chronos`."""

import sys

from cli.chronos.app import run


def main() -> None:
    """Runs the command line: exit status 0 done, 1 failed or unhealthy, 2 wrong usage, 3 no mesh."""
    raise SystemExit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
