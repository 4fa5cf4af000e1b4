"""The entry point of the command `lantern`: small, so that a Ctrl-C while the rest loads gives no traceback."""

from __future__ import annotations

import signal
import sys

from firmware_app.core import process


def main() -> int:
    """Load the commands and run one; SIGINT has its default action until `cli.main` handles it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    with process.without_garbage_collection():
        from firmware_app.cli import command_line

    return command_line.main()


if __name__ == "__main__":
    sys.exit(main())
