"""Runs the scheduler: `python -m services.scheduler`."""

import sys

from libs.process import run
from libs.settings import load
from services.scheduler.app import open_app
from services.scheduler.settings import SchedulerSettings

if __name__ == "__main__":
    settings = load(SchedulerSettings, sys.argv[1:])
    sys.exit(run("scheduler", settings, lambda: open_app(settings)))
