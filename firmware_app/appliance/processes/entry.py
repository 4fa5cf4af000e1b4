"""The start of mounter and importer: logs go to stderr, SIGTERM and SIGINT set an event, an error gives status 1."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from firmware_app.core.errors import LanternError
from firmware_app.core.settings import Config, load_config


def make_parser(module: str, description: str | None) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog=f"python -m firmware_app.appliance.processes.{module}", description=description)
    made.add_argument("--config", type=Path, metavar="FILE", help="default: /etc/lantern/lantern.toml")
    return made


def run_entry(options: argparse.Namespace, body: Callable[[Config, threading.Event], int]) -> int:
    """The exit status: what *body* returns, or 1 with a sentence on stderr."""
    logging.basicConfig(
        stream=sys.stderr,
        level=os.environ.get("LANTERN_LOG", "INFO").upper(),
        format="%(levelname)s %(name)s: %(message)s",
    )
    try:
        config = load_config(options.config)
        return body(config, _make_stop_event())
    except (LanternError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


def _make_stop_event() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    return stop
