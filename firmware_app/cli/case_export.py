"""`lantern case export`: parses, checks the person's account, prints what was exported and what was not."""

from __future__ import annotations

import argparse
import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from firmware_app.core.language import N_, printable_language, translate

if TYPE_CHECKING:
    from firmware_app.core.settings import Config

_DONE, _REFUSED = 0, 3
_EXPORTED: Final = N_("{left} of {total} images exported to {path}.")
_NOTHING: Final = N_("None of {total} images was exported; nothing was written.")
_RESULTS: Final = N_("{left} DICOM objects with the results written to {path}. They name the patient.")
_MESSAGE: Final = N_("The results are written to {path}. They name the patient.")
_SENT: Final = N_("The FHIR server {path} has taken the results.")
_NO_RESULTS: Final = N_("The results could not be made; nothing was written.")
_Run = Callable[[argparse.Namespace], int]
_Parser = argparse.ArgumentParser
Command = Callable[["argparse._SubParsersAction[_Parser]", str, _Run, str, str], _Parser]


def add_to(below: argparse._SubParsersAction[_Parser], command: Command) -> None:
    """Add `export` to the commands of `case`; *command* makes one as the rest of `lantern` does."""
    export = command(
        below,
        "export",
        _export,
        "write a case's images, de-identified, or its results for an archive (off by default)",
        "lantern case export c-1f2e3d4c5b6a79880716 --stick /media/stick --person li",
    )
    export.add_argument("case", metavar="CASE", help="its reference, as `lantern case list` prints it")
    where = export.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--stick",
        type=Path,
        metavar="DIR",
        help="one file, sealed for the box's hospital, in the folder where you mounted the stick",
    )
    where.add_argument("--to", type=Path, metavar="DIR", help="an unencrypted folder in DIR: anyone can read it")
    where.add_argument(
        "--dicom",
        type=Path,
        metavar="DIR",
        help="the results as DICOM objects for the clinic's own archive, with the patient's name: a folder in DIR",
    )
    where.add_argument(
        "--fhir",
        type=Path,
        metavar="DIR",
        help="the results as one FHIR R4 Bundle for an information system, with the patient's name: a file in DIR",
    )
    where.add_argument("--fhir-server", action="store_true", help="the same, sent to the server that [fhir] url names")
    where.add_argument(
        "--hl7",
        type=Path,
        metavar="DIR",
        help="the results as one HL7 v2 message ORU^R01, with the patient's name: a file in DIR",
    )
    export.add_argument("--person", required=True, metavar="NAME", help="who exports: an account of the viewer")
    export.add_argument(
        "--looked",
        action="store_true",
        help="the person has looked at every image, and no text in the pictures names anybody",
    )


def _export(options: argparse.Namespace) -> int:
    from firmware_app.cases.clinical_db import ClinicalDatabase
    from firmware_app.cases.exports import Exports
    from firmware_app.core import clock, console
    from firmware_app.core.settings import load_config
    from firmware_app.core.state_dir import StateDir
    from firmware_app.results import identified_export
    from firmware_app.results.deidentified_export import export_case
    from firmware_app.results.errors import EXPORT_OFF
    from firmware_app.results.identified_export import export_results
    from firmware_app.results.sealed_case import describe_sealed_file, seal_case

    config = load_config(options.config)
    if not config.export.enabled:
        raise EXPORT_OFF()
    clock.start_clock(StateDir(config.state.dir), "console")
    clinical = ClinicalDatabase(StateDir(config.state.dir).clinical_db)
    clinical.require()
    person = find_account_name(config, options.person)
    write, where = (export_case, options.to) if options.stick is None else (seal_case, options.stick)
    with stop_on_signals(), console.show_progress("exported", enabled=not options.json) as advance:
        if options.dicom is not None:
            written, outcomes = export_results(
                config, clinical, options.case, options.dicom, person=person, on_progress=advance
            )
        elif options.fhir_server:
            written, outcomes = None, identified_export.send_message(config, clinical, options.case, person=person)
        elif (folder := options.fhir or options.hl7) is not None:
            kind = identified_export.FHIR_SUFFIX if options.fhir is not None else identified_export.HL7_SUFFIX
            written, outcomes = identified_export.export_message(
                config, clinical, options.case, folder, kind=kind, person=person
            )
        else:
            written, outcomes = write(
                config,
                Exports(clinical.database),
                options.case,
                where,
                person=person,
                looked=options.looked,
                on_progress=advance,
            )
    clinical.database.close()
    language = config.box.language if options.json else printable_language(config.box.language)
    for one in outcomes:
        if options.json:
            reason = {"code": one.reason.code, "text": one.reason.text(language)} if one.reason else None
            print(json.dumps({"instance": one.instance, "file": one.file, "reason": reason}, ensure_ascii=False))
        elif one.reason is not None:
            print(f"{one.instance}  {one.reason.code}: {one.reason.text(language)}")
    left = sum(one.file is not None for one in outcomes)
    if not options.json:
        done, nothing = _sentences(options)
        sentence = done if written or options.fhir_server else nothing
        path = config.fhir.url if options.fhir_server else written
        print(translate(sentence, language).format(left=left, total=len(outcomes), path=path))
        if options.stick is not None and written is not None:
            print(describe_sealed_file(written, config))
    return _DONE if left == len(outcomes) else _REFUSED


def _sentences(options: argparse.Namespace) -> tuple[str, str]:
    """What is said when it was done, and when nothing was."""
    if options.dicom is not None:
        return _RESULTS, _NO_RESULTS
    if options.fhir_server:
        return _SENT, _NO_RESULTS
    return (_MESSAGE, _NO_RESULTS) if options.fhir is not None or options.hl7 is not None else (_EXPORTED, _NOTHING)


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """A closed terminal (SIGHUP, as after a lost SSH connection) and SIGTERM stop an export as Ctrl-C does, and none of
    them interrupts its clean-up.  In the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: object) -> None:
        for one in handlers:
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    present = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    # A signal that is already ignored stays ignored: SIGHUP under nohup.
    handlers = {one: before for one, before in present.items() if before is not signal.SIG_IGN}
    for one in handlers:
        signal.signal(one, stop)
    try:
        yield
    finally:
        for one, before in handlers.items():
            signal.signal(one, before or signal.SIG_DFL)


def find_account_name(config: Config, name: str) -> str:
    """The account's name as stored; raises `EXPORT_PERSON_UNKNOWN` unless the account is in use."""
    from firmware_app.cli import user as user_commands
    from firmware_app.cli.errors import EXPORT_PERSON_UNKNOWN

    user = user_commands.open_accounts(config).find(name)
    if user is None or user.disabled or not user.has_password:
        raise EXPORT_PERSON_UNKNOWN(name=name[:40])
    return user.shown
