"""`lantern case earlier`: a patient's earlier studies in the clinic's archives, confirmed by a person and fetched.

As in `lantern worklist`, whoever confirms names an account of the viewer.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from firmware_app.cli import user
from firmware_app.core.language import printable_language

if TYPE_CHECKING:
    from firmware_app.cases.earlier_studies import EarlierStudies

_DONE: Final = 0
_WAIT_S: Final = 60.0
_LOOK_S: Final = 0.2
_Run = Callable[[argparse.Namespace], int]
_Parser = argparse.ArgumentParser
Command = Callable[["argparse._SubParsersAction[_Parser]", str, _Run, str, str], _Parser]


def add_to(below: argparse._SubParsersAction[_Parser], command: Command) -> None:
    """Add `earlier` to the commands of `case`; *command* makes one as the rest of `lantern` does."""
    earlier = command(
        below,
        "earlier",
        _earlier,
        "the patient's earlier studies: search the clinic's archive (PACS), fetch them",
        "lantern case earlier c-1f2e3d4c5b6a79880716 --search",
    )
    earlier.add_argument("case", metavar="CASE", help="its reference, as `lantern case list` prints it")
    earlier.add_argument(
        "--search", action="store_true", help="search now; what is surely the same patient's is fetched at once"
    )
    earlier.add_argument(
        "--fetch", type=int, metavar="NUMBER", help="fetch this study: you say that it is the same patient's"
    )
    earlier.add_argument("--account", metavar="NAME", help="the account of the person who says so; needed with --fetch")


def _earlier(options: argparse.Namespace) -> int:
    from firmware_app.cases.audit import CONSOLE
    from firmware_app.cases.clinical_db import ClinicalDatabase
    from firmware_app.cases.earlier_studies import EarlierStudies, find_search_subject
    from firmware_app.cases.errors import ACCOUNT_UNKNOWN
    from firmware_app.core import clock
    from firmware_app.core.settings import load_config
    from firmware_app.core.state_dir import StateDir
    from firmware_app.ingest.errors import EARLIER_NONE
    from firmware_app.results import remote_status

    config = load_config(options.config)
    if not config.pacs.searched:
        raise EARLIER_NONE()
    if options.fetch is not None and options.account is None:
        raise ACCOUNT_UNKNOWN()
    state = StateDir(config.state.dir)
    clock.start_clock(state, "console", writes=options.search or options.fetch is not None)
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.require()
    clinical.case(options.case)
    known = EarlierStudies(clinical.database)
    if options.search:
        find_search_subject(clinical, state, options.case)
        known.ask(options.case, CONSOLE)
    if options.fetch is not None:
        known.confirm(options.case, options.fetch, user.find_account(options.account, config).shown)
    if options.search or options.fetch is not None:
        _await(known, options.case)
    language = config.box.language if options.json else printable_language(config.box.language)
    told = remote_status.describe_prior_studies(config, clinical.database, options.case)
    for one in told.studies:
        if options.json:
            print(json.dumps(told.as_json(one, language), ensure_ascii=False))
            continue
        said = one.said
        print(f"{one.sequence}  {said.date}  {said.modalities}  {said.description}  {said.images or '?'}  {said.name}")
        print(f"  {told.state(one, language)}{f' {one.here}' if one.here else ''}")
    if not options.json and (standing := told.standing(language)):
        print(standing)
    clinical.database.close()
    return _DONE


def _await(known: EarlierStudies, case: str) -> None:
    """Wait until the gateway has done what was asked for, but not for ever: it may be off."""
    from firmware_app.cases.earlier_studies import FetchState

    deadline = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline:
        search = known.search(case)
        waits = any(one.state is FetchState.WANTED for one in known.of_case(case))
        if not waits and (search is None or not search.asked):
            return
        time.sleep(_LOOK_S)
