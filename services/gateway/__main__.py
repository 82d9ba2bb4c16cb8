"""Runs the gateway: `python -m services.gateway`."""

import sys

from libs.process import run
from libs.settings import load
from services.gateway.app import open_app
from services.gateway.settings import GatewaySettings

if __name__ == "__main__":
    settings = load(GatewaySettings, sys.argv[1:])
    sys.exit(run("gateway", settings, lambda: open_app(settings)))
