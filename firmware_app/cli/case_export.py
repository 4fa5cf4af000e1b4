"""`lantern case export` and `lantern case report --pdf`: one row for each destination of a case."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from firmware_app.cli.terminal import (
    DONE,
    UNJUDGED,
    Commands,
    add_command,
    choose_language,
    open_clinical,
    print_json,
    read_config,
    say,
    stop_on_signals,
)
from firmware_app.core.language import N_, escape_controls

if TYPE_CHECKING:
    from firmware_app.core.settings import Config
    from firmware_app.results.export_session import ExportRequest, ExportSession

    _Export = Callable[[ExportRequest], ExportSession]

_IMAGES: Final = (
    N_("{left} of {total} images exported to {path}."),
    N_("None of {total} images was exported; nothing was written."),
)
_NO_RESULTS: Final = N_("The results could not be made; nothing was written.")
_MESSAGE: Final = (N_("The results are written to {path}. They name the patient."), _NO_RESULTS)


@dataclass(frozen=True, slots=True)
class _Destination:
    """Where a case may go (`_find_export`), and the sentences for when something was exported, and when nothing was."""

    option: str
    sentences: tuple[str, str]
    help: str
    takes_folder: bool = True

    @property
    def attribute(self) -> str:
        return self.option.strip("-").replace("-", "_")


_DESTINATIONS: Final = (
    _Destination(
        "--stick", _IMAGES, "one file, sealed for the box's hospital, in the folder where you mounted the stick"
    ),
    _Destination("--to", _IMAGES, "an unencrypted folder in DIR: anyone can read it"),
    _Destination(
        "--dicom",
        (N_("{left} DICOM objects with the results written to {path}. They name the patient."), _NO_RESULTS),
        "the results as DICOM objects for the clinic's own archive, with the patient's name: a folder in DIR",
    ),
    _Destination(
        "--fhir",
        _MESSAGE,
        "the results as one FHIR R4 Bundle for an information system, with the patient's name: a file in DIR",
    ),
    _Destination(
        "--fhir-server",
        (N_("The FHIR server {path} has taken the results."), _NO_RESULTS),
        "the same, sent to the server that [fhir] url names",
        takes_folder=False,
    ),
    _Destination(
        "--hl7", _MESSAGE, "the results as one HL7 v2 message ORU^R01, with the patient's name: a file in DIR"
    ),
)


def add_to(below: Commands) -> argparse.ArgumentParser:
    """Add `export` to the commands of `case`."""
    export = add_command(
        below,
        "export",
        _export,
        "write a case's images, de-identified, or its results for an archive (off by default)",
        "lantern case export c-1f2e3d4c5b6a79880716 --stick /media/stick --person li",
    )
    where = export.add_mutually_exclusive_group(required=True)
    for destination in _DESTINATIONS:
        if destination.takes_folder:
            where.add_argument(destination.option, type=Path, metavar="DIR", help=destination.help)
        else:
            where.add_argument(destination.option, action="store_true", help=destination.help)
    export.add_argument("--person", required=True, metavar="NAME", help="who exports: an account of the viewer")
    export.add_argument(
        "--looked",
        action="store_true",
        help="the person has looked at every image, and no text in the pictures names anybody",
    )
    return export


def _export(options: argparse.Namespace) -> int:
    config = read_config(options)
    destination = next(one for one in _DESTINATIONS if getattr(options, one.attribute))
    to = getattr(options, destination.attribute) if destination.takes_folder else None
    session = _run(options, config, _find_export(destination.option), to)
    language = choose_language(options, config)
    for outcome in session.outcomes:
        reason = outcome.reason
        if options.json:
            told = {"code": reason.code, "text": reason.text(language)} if reason else None
            print_json({"instance": outcome.instance, "file": outcome.file, "reason": told})
        elif reason is not None:
            print(f"{outcome.instance}  {reason.code}: {reason.text(language)}")
    if not options.json:
        done, nothing = destination.sentences
        path = session.written if destination.takes_folder else config.fhir.url
        say(config, done if session.left else nothing, left=session.left, total=len(session.outcomes), path=path)
        if options.stick and session.written is not None:
            from firmware_app.results.sealed_case import describe_sealed_file

            print(describe_sealed_file(session.written, config))
    return DONE if session.left == len(session.outcomes) else UNJUDGED


def export_report(options: argparse.Namespace, config: Config) -> int:
    """`lantern case report --pdf`."""
    from firmware_app.cli.errors import REPORT_PERSON_MISSING
    from firmware_app.results import identified_export

    if options.person is None:
        raise REPORT_PERSON_MISSING()
    written = _run(options, config, identified_export.export_report, options.pdf).written
    if options.json:
        print_json({"case": options.case, "file": str(written)})
    else:
        say(config, N_("Report written to {path}. It names the patient."), path=escape_controls(str(written)))
    return DONE


def _find_export(option: str) -> _Export:
    from firmware_app.results import deidentified_export, identified_export, sealed_case

    return {
        "--stick": sealed_case.seal_case,
        "--to": deidentified_export.export_folder,
        "--dicom": identified_export.export_results,
        "--fhir": identified_export.export_fhir,
        "--fhir-server": identified_export.send_fhir,
        "--hl7": identified_export.export_hl7,
    }[option]


def _run(options: argparse.Namespace, config: Config, export: _Export, to: Path | None) -> ExportSession:
    from firmware_app.core import console
    from firmware_app.results.errors import EXPORT_OFF
    from firmware_app.results.export_session import ExportRequest

    if not config.export.enabled:
        raise EXPORT_OFF()
    with open_clinical(config, writes=True) as clinical:
        person = _find_account_name(config, options.person)
        with stop_on_signals(), console.show_progress("exported", enabled=not options.json) as advance:
            request = ExportRequest(
                config=config,
                clinical=clinical,
                case=options.case,
                person=person,
                to=to,
                looked=getattr(options, "looked", False),
                on_progress=advance,
            )
            return export(request)


def _find_account_name(config: Config, name: str) -> str:
    """The account's name as stored; raises `EXPORT_PERSON_UNKNOWN` unless the account is in use."""
    from firmware_app.cli import user as user_commands
    from firmware_app.cli.errors import EXPORT_PERSON_UNKNOWN

    user = user_commands.open_accounts(config).find(name)
    if user is None or user.disabled or not user.has_password:
        raise EXPORT_PERSON_UNKNOWN(name=name[:40])
    return user.shown
