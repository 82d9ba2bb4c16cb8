"""Runs policy: `python -m services.policy`."""

import sys

from libs.process import run
from libs.settings import load
from services.policy.app import open_app
from services.policy.settings import PolicySettings

if __name__ == "__main__":
    settings = load(PolicySettings, sys.argv[1:])
    sys.exit(run("policy", settings, lambda: open_app(settings)))
