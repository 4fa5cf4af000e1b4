"""`lantern case send`: sends a case's results to the archives again, or says how far they have come."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

from firmware_app.core.language import printable_language

_DONE = 0
_Run = Callable[[argparse.Namespace], int]
_Parser = argparse.ArgumentParser
Command = Callable[["argparse._SubParsersAction[_Parser]", str, _Run, str, str], _Parser]


def add_to(below: argparse._SubParsersAction[_Parser], command: Command) -> None:
    """Add `send` to the commands of `case`; *command* makes one as the rest of `lantern` does."""
    send = command(
        below,
        "send",
        _send,
        "send a case's results to the clinic's archive (PACS), also where it has them already",
        "lantern case send c-1f2e3d4c5b6a79880716",
    )
    send.add_argument("case", metavar="CASE", help="its reference, as `lantern case list` prints it")
    send.add_argument("--state", action="store_true", help="send nothing; say how far the results have come")


def _send(options: argparse.Namespace) -> int:
    from firmware_app.cases.audit import CONSOLE
    from firmware_app.cases.clinical_db import ClinicalDatabase
    from firmware_app.cli.errors import PACS_NONE
    from firmware_app.core import clock
    from firmware_app.core.settings import load_config
    from firmware_app.core.state_dir import StateDir
    from firmware_app.results import due_cases, remote_status

    config = load_config(options.config)
    if not (config.pacs.sends or config.dicomweb.gives):
        raise PACS_NONE()
    state = StateDir(config.state.dir)
    clock.start_clock(state, "console", writes=not options.state)
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.require()
    clinical.case(options.case)
    if not options.state:
        due_cases.request_sending(clinical.database, options.case, CONSOLE)
    language = config.box.language if options.json else printable_language(config.box.language)
    for one in remote_status.describe_archive_delivery(config, clinical.database, options.case):
        if options.json:
            print(json.dumps(one.as_json(language), ensure_ascii=False))
        else:
            print("\n  ".join(said.text(language) for said in (one.state, one.problem) if said is not None))
    clinical.database.close()
    return _DONE
