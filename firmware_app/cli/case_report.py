"""`lantern case report`: one case in sentences, of its newest revision or of an earlier one; or as a PDF."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from firmware_app.cli.read import NOT_DIAGNOSTIC, Command
from firmware_app.core.language import N_, escape_controls, printable_language, translate

if TYPE_CHECKING:
    from firmware_app.core.records import Case

_Parser = argparse.ArgumentParser
_WRITTEN: Final = N_("Report written to {path}. It names the patient.")


def add_to(commands: argparse._SubParsersAction[_Parser], command: Command) -> None:
    """Add `report` to the commands of `case`."""
    report = command(
        commands,
        "report",
        _report,
        "one case in sentences: what was found, how large, what should follow; or a PDF",
        "lantern case report c-1f2e3d4c5b6a79880716",
    )
    report.add_argument("case", metavar="CASE", help="its reference, as `lantern case list` prints it")
    how = report.add_mutually_exclusive_group()
    how.add_argument("--revision", type=int, metavar="N", help="as it was then, before later images came")
    how.add_argument(
        "--pdf",
        type=Path,
        metavar="FILE",
        help="one or two pages for paper, with the patient's name and pictures (needs --person, and export to be on)",
    )
    report.add_argument("--person", metavar="NAME", help="with --pdf, who writes it: an account of the viewer")


def _report(options: argparse.Namespace) -> int:
    from firmware_app.cases.clinical_db import ClinicalDatabase
    from firmware_app.core import clock
    from firmware_app.core.settings import load_config
    from firmware_app.core.state_dir import StateDir
    from firmware_app.results import case_text

    if options.pdf is not None:
        return _pdf(options)
    config = load_config(options.config)
    state = StateDir(config.state.dir)
    clock.start_clock(state, "console", writes=False)
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.require()
    case = clinical.case(options.case, options.revision)
    language = config.box.language if options.json else printable_language(config.box.language)
    text = [*case_text.describe_case(case, language), translate(NOT_DIAGNOSTIC, language)]
    if options.json:
        print(json.dumps({"case": case.reference, "revision": case.revision, "text": text}, ensure_ascii=False))
    else:
        print("\n".join(escape_controls(line) for line in (_title(case, language), *text)))
    return 0


def _pdf(options: argparse.Namespace) -> int:
    from firmware_app.cases.clinical_db import ClinicalDatabase
    from firmware_app.cli.case_export import find_account_name, stop_on_signals
    from firmware_app.cli.errors import REPORT_PERSON_MISSING
    from firmware_app.core import clock
    from firmware_app.core.settings import load_config
    from firmware_app.core.state_dir import StateDir
    from firmware_app.results.errors import EXPORT_OFF
    from firmware_app.results.identified_export import export_report

    config = load_config(options.config)
    if not config.export.enabled:
        raise EXPORT_OFF()
    if options.person is None:
        raise REPORT_PERSON_MISSING()
    state = StateDir(config.state.dir)
    clock.start_clock(state, "console")
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.require()
    person = find_account_name(config, options.person)
    with stop_on_signals():
        written = export_report(config, clinical, options.case, options.pdf, person=person)
    clinical.database.close()
    if options.json:
        print(json.dumps({"case": options.case, "file": str(written)}, ensure_ascii=False))
    else:
        language = printable_language(config.box.language)
        print(translate(_WRITTEN, language).format(path=escape_controls(str(written))))
    return 0


def _title(case: Case, language: str) -> str:
    return translate(N_("Case {case}, revision {n}"), language).format(case=case.reference, n=case.revision)
