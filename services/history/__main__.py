"""Runs history: `python -m services.history`."""

import sys

from libs.process import run
from libs.settings import load
from services.history.app import open_app
from services.history.settings import HistorySettings

if __name__ == "__main__":
    settings = load(HistorySettings, sys.argv[1:])
    sys.exit(run("history", settings, lambda: open_app(settings)))
