"""`lantern case export --fhir`, `--hl7` and `--fhir-server`: a case as a message for the clinic's information system.

It names the patient.  The frame is that of every export: off by default, in the audit before the first byte, whole or
not at all.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

from firmware_app.cases.clinical_db import Clinical
from firmware_app.cases.exports import Exports
from firmware_app.core.errors import ExportThere, FhirOff
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import sync_directory
from firmware_app.results import hl7v2
from firmware_app.results.export.departure import ExportOutcome, leaving
from firmware_app.results.export.folder import fresh_folder
from firmware_app.results.fhir import bundle, server
from firmware_app.results.fhir.coding import Json
from firmware_app.results.gathering import gathered
from firmware_app.results.pdf import making
from firmware_app.results.result import Result

FHIR: Final = ".fhir.json"
HL7: Final = hl7v2.SUFFIX


def export_message(
    config: Config, clinical: Clinical, case: str, folder: Path, *, kind: str, person: str
) -> tuple[Path | None, tuple[ExportOutcome, ...]]:
    """Write the message of *kind* (`FHIR` or `HL7`) into *folder*; its file appears there whole.

    Raises what `leaving`, `gathered` and `making.pdf_if_possible` raise.
    """
    exports, name = Exports(clinical.database), f"{case}{kind}"
    with (
        leaving(config, exports, case, folder, name, person=person, looked=False, results=1) as export,
        fresh_folder(folder) as fresh,
    ):
        result = gathered(config, clinical, case)
        pdf = making.pdf_if_possible(config, result)
        text = bundle.text_of(_bundle(exports, case, result, pdf)) if kind == FHIR else hl7v2.message_of(result, pdf)
        made = fresh / name
        with made.open("xb") as file:
            file.write(text.encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
        export.is_named = True
        if os.path.lexists(export.final):
            raise ExportThere(path=str(export.final))
        made.rename(export.final)
        sync_directory(folder)
        export.outcomes = (ExportOutcome(kind.strip("."), name, {}),)
    return export.written, export.outcomes


def send_message(config: Config, clinical: Clinical, case: str, *, person: str) -> tuple[ExportOutcome, ...]:
    """Send the case to the configured FHIR server; raises what `leaving`, `gathered` and `server.send` raise."""
    if not config.fhir.url:
        raise FhirOff
    exports = Exports(clinical.database)
    with (
        tempfile.TemporaryDirectory(prefix="lantern-") as nowhere,  # nothing is written: the frame checks a folder
        leaving(
            config, exports, case, Path(nowhere), f"{case}{FHIR}", person=person, looked=False, results=1, sent=1
        ) as export,
    ):
        result = gathered(config, clinical, case)
        server.send(_bundle(exports, case, result, making.pdf_if_possible(config, result)), config.fhir)
        export.outcomes = (ExportOutcome("fhir", config.fhir.url, {}),)
    return export.outcomes


def _bundle(exports: Exports, case: str, result: Result, pdf: bytes | None) -> Json:
    """The Bundle of *result*, which takes back what earlier ones said and it does not; noted before it leaves."""
    made = bundle.bundle_of(result, pdf, exports.told_observations(case))
    exports.note_observations(case, bundle.observations_in(made))
    return made
