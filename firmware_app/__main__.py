"""Where the command `lantern` begins: at once, so that a Ctrl-C ends it without a traceback also while it loads."""

from __future__ import annotations

import signal
import sys

from firmware_app import loading


def main() -> int:
    """Load the commands and run one; SIGINT has its plain meaning until `cli.main` gives it a better one."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    with loading.without_collection():
        from firmware_app.commands import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
