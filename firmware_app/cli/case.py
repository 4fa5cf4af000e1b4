"""`lantern case`: lists, shows, reports and sends cases, and fetches earlier studies; `case_export` exports them."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from firmware_app.cli import case_export, user
from firmware_app.cli.terminal import (
    CASE_HELP,
    DONE,
    NOT_DIAGNOSTIC,
    Commands,
    add_command,
    add_group,
    choose_language,
    open_clinical,
    print_json,
    read_config,
    say,
)
from firmware_app.core.language import N_, escape_controls, printable_language, translate

if TYPE_CHECKING:
    from firmware_app.cases.earlier_studies import EarlierStudies
    from firmware_app.core.records import Case
    from firmware_app.core.settings import Config

_WAIT_S: Final = 60.0
_LOOK_S: Final = 0.2
_EXAMPLE: Final = "c-1f2e3d4c5b6a79880716"


def add_to(commands: Commands) -> None:
    """Add `case` with its commands to the parser."""
    below = add_group(
        commands, "case", "list, show, report, send or export cases; earlier studies", "lantern case list --json"
    )
    add_command(below, "list", _list, "every case, the most urgent first", "lantern case list --json")
    show = add_command(below, "show", _show, "one case with all its readings", f"lantern case show {_EXAMPLE}")
    report = add_command(
        below,
        "report",
        _report,
        "one case in sentences: what was found, how large, what should follow; or a PDF",
        f"lantern case report {_EXAMPLE}",
    )
    how = report.add_mutually_exclusive_group()
    how.add_argument("--revision", type=int, metavar="N", help="as it was then, before later images came")
    how.add_argument(
        "--pdf",
        type=Path,
        metavar="FILE",
        help="one or two pages for paper, with the patient's name and pictures (needs --person, and export to be on)",
    )
    report.add_argument("--person", metavar="NAME", help="with --pdf, who writes it: an account of the viewer")
    export = case_export.add_to(below)
    send = add_command(
        below,
        "send",
        _send,
        "send a case's results to the clinic's archive (PACS), also where it has them already",
        f"lantern case send {_EXAMPLE}",
    )
    send.add_argument("--state", action="store_true", help="send nothing; say how far the results have come")
    earlier = add_command(
        below,
        "earlier",
        _earlier,
        "the patient's earlier studies: search the clinic's archive (PACS), fetch them",
        f"lantern case earlier {_EXAMPLE} --search",
    )
    earlier.add_argument(
        "--search", action="store_true", help="search now; what is surely the same patient's is fetched at once"
    )
    earlier.add_argument(
        "--fetch", type=int, metavar="NUMBER", help="fetch this study: you say that it is the same patient's"
    )
    earlier.add_argument("--account", metavar="NAME", help="the account of the person who says so; needed with --fetch")
    for parser in (show, report, export, send, earlier):
        parser.add_argument("case", metavar="CASE", help=CASE_HELP)


def print_case(case: Case, config: Config, *, as_json: bool) -> None:
    """Print *case* as a page for a person, or as one JSON line."""
    from firmware_app.results import case_json, case_text

    if as_json:
        print_json(case_json.case_to_json(case, config.box.language))
    else:
        print(case_text.format_page(case, printable_language(config.box.language)), flush=True)


def _list(options: argparse.Namespace) -> int:
    from firmware_app.results import case_text

    config = read_config(options)
    with open_clinical(config) as clinical:
        unassigned = clinical.find_unassigned_files()
        cases = [*clinical.load_cases(), *([unassigned] if unassigned else [])]
    if options.json:
        for case in cases:
            print_case(case, config, as_json=True)
    elif cases:
        print(case_text.format_heading())
        for case in cases:
            print(case_text.format_row(case, printable_language(config.box.language)))
    else:
        say(config, N_("There is no case yet. Send an image to the box, or try “lantern read FILE”."))
    return DONE


def _show(options: argparse.Namespace) -> int:
    config = read_config(options)
    with open_clinical(config) as clinical:
        print_case(clinical.load_case(options.case), config, as_json=options.json)
    return DONE


def _report(options: argparse.Namespace) -> int:
    from firmware_app.results import case_text

    config = read_config(options)
    if options.pdf is not None:
        return case_export.export_report(options, config)
    with open_clinical(config) as clinical:
        case = clinical.load_case(options.case, options.revision)
    language = choose_language(options, config)
    text = [*case_text.describe_case(case, language), translate(NOT_DIAGNOSTIC, language)]
    if options.json:
        print_json({"case": case.reference, "revision": case.revision, "text": text})
    else:
        title = translate(N_("Case {case}, revision {n}"), language).format(case=case.reference, n=case.revision)
        print("\n".join(escape_controls(line) for line in (title, *text)))
    return DONE


def _send(options: argparse.Namespace) -> int:
    from firmware_app.cases.audit import CONSOLE
    from firmware_app.cli.errors import PACS_NONE
    from firmware_app.results import due_cases, remote_status

    config = read_config(options)
    if not (config.pacs.sends_results or config.dicomweb.serves_results):
        raise PACS_NONE()
    language = choose_language(options, config)
    with open_clinical(config, writes=not options.state) as clinical:
        clinical.load_case(options.case)
        if not options.state:
            due_cases.request_sending(clinical.database, options.case, CONSOLE)
        for delivery in remote_status.describe_archive_delivery(config, clinical.database, options.case):
            if options.json:
                print_json(delivery.as_json(language))
            else:
                reasons = filter(None, (delivery.state, delivery.problem))
                print("\n  ".join(reason.text(language) for reason in reasons))
    return DONE


def _earlier(options: argparse.Namespace) -> int:
    from firmware_app.cases.audit import CONSOLE
    from firmware_app.cases.earlier_studies import EarlierStudies, find_search_subject
    from firmware_app.cases.errors import ACCOUNT_UNKNOWN
    from firmware_app.core.state_dir import StateDir
    from firmware_app.ingest.errors import EARLIER_NONE
    from firmware_app.results import remote_status

    config = read_config(options)
    if not config.pacs.searchable_archives:
        raise EARLIER_NONE()
    if options.fetch is not None and options.account is None:
        raise ACCOUNT_UNKNOWN()
    asks = options.search or options.fetch is not None
    with open_clinical(config, writes=asks) as clinical:
        clinical.load_case(options.case)
        studies = EarlierStudies(clinical.database)
        if options.search:
            find_search_subject(clinical, StateDir(config.state.dir), options.case)
            studies.request_search(options.case, CONSOLE)
        if options.fetch is not None:
            studies.confirm(options.case, options.fetch, user.find_account(options.account, config).shown)
        if asks:
            _await_answer(studies, options.case)
        found = remote_status.describe_prior_studies(config, clinical.database, options.case)
    language = choose_language(options, config)
    for study in found.studies:
        if options.json:
            print_json(found.as_json(study, language))
            continue
        said = study.said
        number = f"{study.sequence}  {said.date}  {said.modalities}"
        print(f"{number}  {said.description}  {said.images or '?'}  {said.name}")
        print(f"  {found.state(study, language)}{f' {study.here}' if study.here else ''}")
    if not options.json and (status := found.standing(language)):
        print(status)
    return DONE


def _await_answer(studies: EarlierStudies, case: str) -> None:
    """Wait until the gateway has done what was asked for, but not for ever: it may be off."""
    from firmware_app.cases.earlier_studies import FetchState

    deadline = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline:
        search = studies.find_search(case)
        waits = any(study.state is FetchState.WANTED for study in studies.list_for_case(case))
        if not waits and (search is None or not search.asked):
            return
        time.sleep(_LOOK_S)
