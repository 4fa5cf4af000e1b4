"""`lantern case export --fhir`, `--hl7` and `--fhir-server`: a case as a message for the clinic's information system.

It names the patient.  The frame is that of every export: off by default, in the audit before the first byte, whole or
not at all.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from firmware_app.config import Config
from firmware_app.errors import ExportThere, FhirOff
from firmware_app.exporting import hl7v2
from firmware_app.exporting.departure import ExportOutcome, leaving
from firmware_app.exporting.fhir import bundle, server
from firmware_app.exporting.folder import fresh_folder
from firmware_app.reports.gathering import gathered
from firmware_app.reports.pdf import making
from firmware_app.reports.result import Result
from firmware_app.store.clinical.clinical_db import Clinical
from firmware_app.store.clinical.exports import Exports
from firmware_app.store.disk.layout import sync_directory

FHIR: Final = ".fhir.json"
HL7: Final = hl7v2.SUFFIX
Maker = Callable[[Result, bytes | None], str]


def fhir(result: Result, pdf: bytes | None) -> str:
    return bundle.text_of(bundle.bundle_of(result, pdf))


MAKERS: Final[dict[str, Maker]] = {FHIR: fhir, HL7: hl7v2.message_of}
"""By the end of the file's name."""


def export_message(
    config: Config, clinical: Clinical, case: str, folder: Path, *, kind: str, person: str
) -> tuple[Path | None, tuple[ExportOutcome, ...]]:
    """Write the message of *kind* (a key of `MAKERS`) into *folder*; its file appears there whole.

    Raises what `leaving`, `gathered` and `making.pdf_if_possible` raise.
    """
    exports, name = Exports(clinical.database), f"{case}{kind}"
    with (
        leaving(config, exports, case, folder, name, person=person, looked=False, results=1) as export,
        fresh_folder(folder) as fresh,
    ):
        result = gathered(config, clinical, case)
        made = fresh / name
        with made.open("xb") as file:
            file.write(MAKERS[kind](result, making.pdf_if_possible(config, result)).encode("utf-8"))
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
        server.send(bundle.bundle_of(result, making.pdf_if_possible(config, result)), config.fhir)
        export.outcomes = (ExportOutcome("fhir", config.fhir.url, {}),)
    return export.outcomes
