"""`lantern case report`: one case in sentences, of its newest revision or of an earlier one."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from typing import TYPE_CHECKING

from firmware_app.commands.read import NOT_DIAGNOSTIC, Command
from firmware_app.language import N_, for_screen, translate, visible

if TYPE_CHECKING:
    from firmware_app.records import Case

_Parser = argparse.ArgumentParser


def add_to(commands: argparse._SubParsersAction[_Parser], command: Command) -> None:
    """Add `report` to the commands of `case`."""
    report = command(
        commands, "report", _report, "one case in sentences: what was found, how large, what should follow",
        "lantern case report c-1f2e3d4c5b6a79880716",
    )  # fmt: skip
    report.add_argument("case", metavar="CASE", help="its reference, as `lantern case list` prints it")
    report.add_argument("--revision", type=int, metavar="N", help="as it was then, before later images came")


def _report(options: argparse.Namespace) -> int:
    from firmware_app.config import load
    from firmware_app.reports import wording
    from firmware_app.store.clinical.clinical_db import Clinical
    from firmware_app.store.disk import timekeeping
    from firmware_app.store.disk.layout import StateDir

    config = load(options.config)
    state = StateDir(config.state.dir)
    timekeeping.begin(state, "console", writes=False)
    clinical = Clinical(state.clinical_db)
    clinical.require()
    case = clinical.case(options.case)
    if options.revision is not None and options.revision != case.revision:
        said = clinical.conclusion(options.case, options.revision)
        case = replace(
            case, revision=options.revision, priority=said.priority, findings=said.findings, lesions=said.lesions,
            follow_up=said.follow_up,
        )  # fmt: skip
    language = config.box.language if options.json else for_screen(config.box.language)
    text = [*wording.paragraphs(case, language), translate(NOT_DIAGNOSTIC, language)]
    if options.json:
        print(json.dumps({"case": case.reference, "revision": case.revision, "text": text}, ensure_ascii=False))
    else:
        print("\n".join(visible(line) for line in (_title(case, language), *text)))
    return 0


def _title(case: Case, language: str) -> str:
    return translate(N_("Case {case}, revision {n}"), language).format(case=case.reference, n=case.revision)
