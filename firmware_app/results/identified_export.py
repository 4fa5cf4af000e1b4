"""Exports with the patient's name, for the clinic's own systems.

- `lantern case report --pdf`: the printed report as one file.
- `lantern case export --dicom`: the result objects in a folder, for an archive.
- `lantern case export --fhir`, `--hl7` and `--fhir-server`: a message for the clinic's information system.

The receiver is the clinic's own, so nothing is de-identified. Each export runs in an export session: off by default, in
the audit before the first byte, whole or not at all. A FHIR server gets the Bundle as one transaction, of which it
takes all or nothing (FHIR R4, 3.1.0.11).
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import urllib3

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.exports import Exports
from firmware_app.core import certificates
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config, FhirSection
from firmware_app.core.state_dir import sync_directory
from firmware_app.results import fhir_bundle, hl7v2, rendering
from firmware_app.results.case_view import CaseView, gather_numbered_view
from firmware_app.results.deidentified_export import open_fresh_folder, rename_finished
from firmware_app.results.errors import FHIR_OFF, FHIR_REFUSED, FHIR_UNREACHABLE, ExportThere
from firmware_app.results.export_session import ExportOutcome, start_export
from firmware_app.results.fhir_resources import Json
from firmware_app.results.rendering import render_objects

_SERVER_SECONDS: Final = 30.0
_LARGEST_ANSWER: Final = 4_000_000
_MEDIA_TYPE: Final = "application/fhir+json"


def send_bundle(bundle: Json, settings: FhirSection) -> None:
    """Return when the server has taken the whole *bundle*; sending it again changes nothing there.

    Raises `FHIR_OFF` without a server, `FHIR_UNREACHABLE` and `FHIR_REFUSED`.
    """
    if not settings.url:
        raise FHIR_OFF()
    headers = {"Content-Type": f"{_MEDIA_TYPE}; charset=utf-8", "Accept": _MEDIA_TYPE, **_make_authorization(settings)}
    body = json.dumps(bundle, ensure_ascii=False).encode("utf-8")
    host = urllib3.util.parse_url(settings.url).host or settings.url
    authority = str(settings.tls_ca) if settings.tls_ca is not None else None  # None: the system's
    with urllib3.PoolManager(timeout=_SERVER_SECONDS, retries=False, ca_certs=authority) as pool:
        try:
            answer = pool.request(
                "POST", settings.url, body=body, headers=headers, preload_content=False, redirect=False
            )
            said = answer.read(_LARGEST_ANSWER)
            answer.release_conn()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise FHIR_UNREACHABLE(host=host, detail=_find_authority_fault(settings) or type(error).__name__) from None
    codes = list(_list_codes(said))
    if answer.status // 100 != 2 or not all(code.startswith("2") for code in codes if code[:1].isdigit()):
        raise FHIR_REFUSED(host=host, status=answer.status, detail=", ".join(dict.fromkeys(codes))[:200] or "-")


def _find_authority_fault(settings: FhirSection) -> str | None:
    """The key and the path of a file of authorities that cannot be used."""
    at = {"key": "fhir.tls_ca", "place": ""}
    if settings.tls_ca is None or not any(certificates.find_certificate_problems(settings.tls_ca, at)):
        return None
    return f"fhir.tls_ca: {settings.tls_ca}"


def _make_authorization(settings: FhirSection) -> dict[str, str]:
    if settings.token is None:
        return {}
    try:
        token = Path(settings.token).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise FHIR_UNREACHABLE(host=f"fhir.token: {settings.token}", detail=type(error).__name__) from None
    return {"Authorization": f"Bearer {token}"}


def _list_codes(said: bytes) -> Iterator[str]:
    """The status of each entry of a transaction's answer, or the codes of an OperationOutcome.

    Its free text is left alone: it may quote the patient's name.
    """
    try:
        told: Any = json.loads(said)
    except ValueError:
        return
    if not isinstance(told, dict):
        return
    for one in told.get("entry") or []:
        yield str((one.get("response") or {}).get("status", ""))[:3]
    for one in told.get("issue") or []:
        yield str(one.get("code", ""))


def export_report(config: Config, clinical: ClinicalDatabase, case: str, path: Path, *, person: str) -> Path:
    """Write the report of *case* to *path*, in the language of the box.

    Raises what `start_export`, `gather_numbered_view` and `rendering.render_pdf` raise.
    """
    exports = Exports(clinical.database)
    with (
        start_export(config, exports, case, path.parent, path.name, person=person, looked=False, report=1) as export,
        open_fresh_folder(path.parent) as fresh,
    ):
        view = gather_numbered_view(config, clinical, case)
        made = fresh / path.name
        with made.open("xb") as file:
            file.write(rendering.render_pdf(config, view, view.language))
            file.flush()
            os.fsync(file.fileno())
        export.is_named = True
        if os.path.lexists(export.final):
            raise ExportThere(path=str(export.final))
        made.rename(export.final)
        sync_directory(path.parent)
        export.outcomes = (ExportOutcome("pdf", path.name, {}),)
    return export.final


RESULTS_SUFFIX = "-results"


def export_results(
    config: Config,
    clinical: ClinicalDatabase,
    case: str,
    folder: Path,
    *,
    person: str,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[Path | None, tuple[ExportOutcome, ...]]:
    """Write the result objects of *case* into a new folder in *folder*; returns its path and the result per object.

    Raises what `start_export`, `gather_numbered_view` and `render_objects` raise.
    """
    exports, made = Exports(clinical.database), []
    with (
        start_export(
            config, exports, case, folder, f"{case}{RESULTS_SUFFIX}", person=person, looked=False, results=1
        ) as export,
        open_fresh_folder(folder) as fresh,
    ):
        for one in render_objects(config, gather_numbered_view(config, clinical, case), fresh):
            if isinstance(one, Reason):
                made.append(ExportOutcome("", None, {}, one))
            else:
                made.append(ExportOutcome(str(one["kind"]), str(one["file"]), one))
            if on_progress is not None:
                on_progress(len(made), len(made))
        export.outcomes = tuple(made)
        if export.left and export.left == len(made):
            sync_directory(fresh)
            export.is_named = True
            rename_finished(fresh, export.final)
        else:  # half a result could be taken for the whole
            export.outcomes = tuple(one for one in made if one.file is None)
    return export.written, export.outcomes


FHIR_SUFFIX: Final = ".fhir.json"
HL7_SUFFIX: Final = hl7v2.SUFFIX


def export_message(
    config: Config, clinical: ClinicalDatabase, case: str, folder: Path, *, kind: str, person: str
) -> tuple[Path | None, tuple[ExportOutcome, ...]]:
    """Write the message of *kind* (`FHIR_SUFFIX` or `HL7_SUFFIX`) into *folder*; its file appears there whole.

    Raises what `start_export`, `gather_numbered_view` and `rendering.render_pdf_if_possible` raise.
    """
    exports, name = Exports(clinical.database), f"{case}{kind}"
    with (
        start_export(config, exports, case, folder, name, person=person, looked=False, results=1) as export,
        open_fresh_folder(folder) as fresh,
    ):
        view = gather_numbered_view(config, clinical, case)
        pdf = rendering.render_pdf_if_possible(config, view)
        text = (
            fhir_bundle.format_bundle(_build_bundle(exports, case, view, pdf))
            if kind == FHIR_SUFFIX
            else hl7v2.build_message(view, pdf)
        )
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


def send_message(config: Config, clinical: ClinicalDatabase, case: str, *, person: str) -> tuple[ExportOutcome, ...]:
    """Send the case to the configured FHIR server; raises what `start_export`, `gather_numbered_view` and `send_bundle`
    raise."""
    if not config.fhir.url:
        raise FHIR_OFF()
    exports = Exports(clinical.database)
    with (
        tempfile.TemporaryDirectory(prefix="lantern-") as nowhere,  # nothing is written: the frame checks a folder
        start_export(
            config, exports, case, Path(nowhere), f"{case}{FHIR_SUFFIX}", person=person, looked=False, results=1, sent=1
        ) as export,
    ):
        view = gather_numbered_view(config, clinical, case)
        send_bundle(_build_bundle(exports, case, view, rendering.render_pdf_if_possible(config, view)), config.fhir)
        export.outcomes = (ExportOutcome("fhir", config.fhir.url, {}),)
    return export.outcomes


def _build_bundle(exports: Exports, case: str, view: CaseView, pdf: bytes | None) -> Json:
    """The Bundle of *view*, which takes back what earlier ones said and it does not; noted before it leaves."""
    made = fhir_bundle.build_bundle(view, pdf, exports.sent_observations(case))
    exports.note_observations(case, fhir_bundle.list_observations(made))
    return made
