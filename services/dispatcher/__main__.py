"""Runs the dispatcher."""

import sys

from libs.process import run
from libs.settings import load
from services.dispatcher.app import open_app
from services.dispatcher.settings import DispatcherSettings

if __name__ == "__main__":
    settings = load(DispatcherSettings, sys.argv[1:])
    raise SystemExit(run("dispatcher", settings, lambda: open_app(settings)))
