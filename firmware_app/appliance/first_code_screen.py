"""Shows the code for the first account on the screen of a new box, to the person who stands there.

    python -m firmware_app.appliance.first_code_screen [--out FILE]     what `lantern-console.service` runs at each
    start

The code is new at each start, and there is one only while the box has neither an identity nor an account; agetty(8)
shows the file above its log-in. Only root reads it there, and no log ever holds it.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from firmware_app.appliance import first_start, network_name
from firmware_app.cases.accounts import Accounts
from firmware_app.core.errors import STORE_UNREADABLE, LanternError
from firmware_app.core.settings import Config, load_config
from firmware_app.core.state_dir import StateDir, write_atomically

OUT: Final = Path("/run/lantern-console/code.issue")
_OPEN: Final = "This box is new. Open {address} in a browser of the clinic and give this code: {code}"


def make_screen_text(config: Config) -> str:
    """The text on the screen, in English because the kernel's console has no Chinese glyphs. Empty once the box has an
    identity or an account.
    """
    state = StateDir(config.state.dir)
    if not first_start.is_unprovisioned(config, state):
        return ""
    accounts = Accounts(state.accounts_db)
    accounts.create()
    try:
        code = accounts.create_first_claim()
    finally:
        accounts.database.close()
    if code is None:
        return ""
    return f"{_OPEN.format(address=network_name.make_page_address(config), code=code)}\n\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m firmware_app.appliance.first_code_screen", description="The first code."
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="default: /etc/lantern/lantern.toml")
    parser.add_argument("--out", type=Path, metavar="FILE", default=OUT)
    options = parser.parse_args(arguments)
    try:
        write_atomically(options.out, make_screen_text(load_config(options.config)).encode("utf-8"), 0o600)
    except LanternError as error:
        print(error, file=sys.stderr)
        return 1
    except sqlite3.Error as error:
        print(STORE_UNREADABLE(detail=str(error)), file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{options.out}: {os.strerror(error.errno or 0)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
