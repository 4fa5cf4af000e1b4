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
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import urllib3

from firmware_app.core import certificates
from firmware_app.core.records import Reason
from firmware_app.core.settings import FhirSection
from firmware_app.core.state_dir import sync_directory
from firmware_app.results import fhir_bundle, hl7v2, rendering
from firmware_app.results.case_view import CaseView, gather_numbered_view
from firmware_app.results.errors import FHIR_OFF, FHIR_REFUSED, FHIR_UNREACHABLE
from firmware_app.results.export_session import ExportOutcome, ExportRequest, ExportSession, start_export
from firmware_app.results.fhir_resources import Json

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


RESULTS_SUFFIX: Final = "-results"
FHIR_SUFFIX: Final = ".fhir.json"


def export_report(request: ExportRequest) -> ExportSession:
    """Write the printed report to a file, in the language of the box.

    Raises what `start_export`, `gather_numbered_view` and `rendering.render_pdf` raise.
    """
    with start_export(request, request.folder, report=1) as session:
        view = _gather_view(request)
        session.publish_file(rendering.render_pdf(request.config, view, view.language), "pdf")
    return session


def export_results(request: ExportRequest) -> ExportSession:
    """Write the result objects into a new folder: all of them, or none.

    Raises what `start_export`, `gather_numbered_view` and `render_objects` raise.
    """
    final = request.folder / f"{request.case}{RESULTS_SUFFIX}"
    with start_export(request, final, results=1) as session, session.open_fresh_folder() as fresh:
        for made in rendering.render_objects(request.config, _gather_view(request), fresh):
            if isinstance(made, Reason):
                session.outcomes = [ExportOutcome("", None, {}, made)]  # half a result could be taken for the whole
                break
            session.outcomes.append(ExportOutcome(str(made["kind"]), str(made["file"]), made))
            request.on_progress(session.left, session.left)
        if session.left:
            sync_directory(fresh)
            session.publish(fresh)
    return session


def export_fhir(request: ExportRequest) -> ExportSession:
    """Write the case as a FHIR Bundle to a file; raises what `export_report` raises."""
    with start_export(request, request.folder / f"{request.case}{FHIR_SUFFIX}", results=1) as session:
        session.publish_file(fhir_bundle.format_bundle(_build_bundle(session)).encode(), "fhir")
    return session


def export_hl7(request: ExportRequest) -> ExportSession:
    """Write the case as an HL7 v2 message to a file; raises what `export_report` raises."""
    with start_export(request, request.folder / f"{request.case}{hl7v2.SUFFIX}", results=1) as session:
        view = _gather_view(request)
        pdf = rendering.render_pdf_if_possible(request.config, view)
        session.publish_file(hl7v2.build_message(view, pdf).encode(), "hl7")
    return session


def send_fhir(request: ExportRequest) -> ExportSession:
    """Send the case to the configured FHIR server; raises what `export_report` and `send_bundle` raise."""
    server = request.config.fhir
    if not server.url:
        raise FHIR_OFF()
    with start_export(request, None, results=1, sent=1) as session:
        send_bundle(_build_bundle(session), server)
        session.outcomes.append(ExportOutcome("fhir", server.url))
    return session


def _gather_view(request: ExportRequest) -> CaseView:
    return gather_numbered_view(request.config, request.clinical, request.case)


def _build_bundle(session: ExportSession) -> Json:
    """The Bundle of the case, which takes back what earlier ones said and it does not; noted before it leaves."""
    request, exports = session.request, session.exports
    view = _gather_view(request)
    pdf = rendering.render_pdf_if_possible(request.config, view)
    made = fhir_bundle.build_bundle(view, pdf, exports.list_sent_observations(request.case))
    exports.note_observations(request.case, fhir_bundle.list_observations(made))
    return made
