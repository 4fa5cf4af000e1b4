"""A case as one FHIR R4 Bundle: DiagnosticReport, ImagingStudy, Observations, and the devices that made them.

The Bundle is a transaction of conditional updates: a server that already has this version or an earlier one changes it
and creates nothing twice, so the Bundle can be sent any number of times. The patient appears by identifier only: the
keeper of the patients' register decides who that is.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from pydicom.sr.coding import Code
from pydicom.uid import UID

from firmware_app.core.language import N_, translate
from firmware_app.core.records import PackIdentity
from firmware_app.dicom import patient_data
from firmware_app.results import case_text, terms
from firmware_app.results.case_view import CaseView, SourceImage
from firmware_app.results.dicom_objects.coded_concepts import ResultUids
from firmware_app.results.dicom_objects.result_context import derive_uids
from firmware_app.results.dicom_objects.source_headers import derive_picture_uid
from firmware_app.results.fhir_resources import (
    DICOM_UID,
    URI,
    Json,
    ObservationContext,
    drop_unknown,
    format_day,
    make_concept,
    make_hl7_concept,
    make_identifier,
    make_observations,
    make_url,
    withdraw_observation,
)

WARNING: Final = N_("AI-assisted, not for diagnostic use without a doctor.")
TITLE: Final = Code("18748-4", "LN", "Diagnostic imaging report")
_STORAGE_OF_PICTURE: Final = (
    "1.2.840.10008.5.1.4.1.1.7"  # as `results.dicom_objects.secondary_capture.make_plain_images` writes it
)


def build_bundle(view: CaseView, pdf: bytes | None = None, earlier: Collection[str] = ()) -> Json:
    """The Bundle of *view*, with its printed report *pdf* in the DiagnosticReport.

    *earlier* are the Observations of the case that earlier Bundles had (`list_observations`); those that it says no
    more are marked as entered in error.
    """
    uids = derive_uids(view)
    study_uid = uids.derive("fhir", "study")
    devices = dict(_list_devices(view, uids))
    subject, status = _make_subject(view), "final" if view.done is not None else "preliminary"
    common = {
        "status": status,
        "subject": subject,
        "derivedFrom": [{"reference": make_url(study_uid)}],
        "issued": view.made_at,
        **_make_effective_date(view),
    }
    told = ObservationContext(view, uids, common, {str(pack): make_url(uid) for pack, (uid, _) in devices.items()})
    found = list(make_observations(told))
    report_uid = uids.derive("fhir", "report")
    report = drop_unknown(
        {
            "resourceType": "DiagnosticReport",
            "identifier": [make_identifier(report_uid)],
            "status": status,
            "category": [make_hl7_concept("v2-0074", "RAD")],
            "code": make_concept(TITLE),
            "subject": subject,
            **_make_effective_date(view),
            "issued": view.made_at,
            "performer": [{"display": view.box}],
            "resultsInterpreter": [{"display": view.done.actor}] if view.done is not None else [],
            "result": [{"reference": make_url(uid)} for uid, _ in found],
            "imagingStudy": [{"reference": make_url(study_uid)}],
            "conclusion": "\n".join(list_sentences(view)),
            "presentedForm": [_make_attachment(view, pdf)] if pdf is not None else [],
        }
    )
    resources = [*devices.values(), (study_uid, _make_study(view, uids, study_uid)), *found, (report_uid, report)]
    entries = [_make_entry(make_url(uid), resource) for uid, resource in resources]
    said = {make_url(uid) for uid, _ in found}
    entries += [_make_entry(url, withdraw_observation(url, subject)) for url in sorted(set(earlier) - said)]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def list_observations(bundle: Json) -> list[str]:
    """By what a server knows each Observation in *bundle*."""
    return [one["fullUrl"] for one in bundle["entry"] if one["resource"]["resourceType"] == "Observation"]


def format_bundle(bundle: Json) -> str:
    return json.dumps(bundle, ensure_ascii=False, indent=1)


def list_sentences(view: CaseView) -> list[str]:
    """The case in sentences: the warning, what doctors say of the findings, and what the models say."""
    case, language = view.case, view.language
    said = [
        terms.format_opinion(opinion, case_text.name_finding(case.findings, opinion.finding, language), language)
        for opinion in view.opinions
    ]
    return [translate(WARNING, language), *said, *case_text.describe_case(case, language)]


def find_accession(view: CaseView) -> str:
    """The accession number in the first image that has one."""
    return next((number for image in view.images if (number := _read_accession(Path(image.display)))), "")


def _read_accession(display: Path) -> str:
    try:
        told = json.loads((display / patient_data.IDENTITY_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return ""
    number: Any = told.get("accession") if isinstance(told, dict) else None
    return number[:16] if isinstance(number, str) else ""


def _make_entry(name: str, resource: Json) -> Json:
    """A conditional update (FHIR R4, 3.1.0.4.3) by the identifier that never changes."""
    url = f"{resource['resourceType']}?identifier={quote(f'{URI}|{name}')}"
    return {"fullUrl": name, "resource": resource, "request": {"method": "PUT", "url": url}}


def _make_subject(view: CaseView) -> Json:
    patient = view.patient
    return drop_unknown(
        {
            "type": "Patient",
            "identifier": {"use": "usual", "value": patient.patient_id} if patient.patient_id else None,
            "display": patient.name or patient.patient_id or "–",
        }
    )


def _make_effective_date(view: CaseView) -> Json:
    """The day of the study, where an image says it."""
    days = (format_day(image.header.study_date) for image in view.images if image.header is not None)
    return drop_unknown({"effectiveDateTime": next(filter(None, days), None)})


def _list_devices(view: CaseView, uids: ResultUids) -> Iterator[tuple[PackIdentity, tuple[UID, Json]]]:
    """Each pack that read, as software on this box."""
    for pack in dict.fromkeys(reading.pack for reading in view.case.readings if reading.pack is not None):
        uid = ResultUids(uids.key, "").derive("fhir", "device", pack.name, pack.version, pack.runtime, pack.precision)
        yield (
            pack,
            (
                uid,
                {
                    "resourceType": "Device",
                    "identifier": [make_identifier(uid)],
                    "manufacturer": "Lantern",
                    "deviceName": [{"name": f"{pack.name} ({pack.runtime}, {pack.precision})", "type": "model-name"}],
                    "version": [{"value": pack.version}, {"value": view.software}],
                },
            ),
        )


def _make_study(view: CaseView, uids: ResultUids, uid: UID) -> Json:
    number = find_accession(view)
    study_uid = next(
        (source_image.header.study_instance_uid for source_image in view.images if source_image.header is not None),
        None,
    )
    accessions = {"type": make_hl7_concept("v2-0203", "ACSN"), "value": number}
    series: dict[str, list[SourceImage]] = {}
    for image in view.images:
        series.setdefault(_find_series_uid(image, uids), []).append(image)
    return drop_unknown(
        {
            "resourceType": "ImagingStudy",
            "identifier": [
                {"system": DICOM_UID, "value": f"urn:oid:{study_uid or uids.derive('study')}"},
                make_identifier(uid),
                *([accessions] if number else []),
            ],
            "status": "available",
            "subject": _make_subject(view),
            "started": _make_effective_date(view).get("effectiveDateTime"),
            "numberOfSeries": len(series),
            "numberOfInstances": len(view.images),
            "series": [_make_series(name, images, view, uids) for name, images in series.items()],
        }
    )


def _make_series(uid: str, images: list[SourceImage], view: CaseView, uids: ResultUids) -> Json:
    modality = next(
        (image.header.modality for image in images if image.header is not None and image.header.modality), "OT"
    )
    return {
        "uid": uid,
        "modality": {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": modality},
        "numberOfInstances": len(images),
        "instance": [_make_instance(image, view, uids) for image in images],
    }


def _find_series_uid(image: SourceImage, uids: ResultUids) -> str:
    """As in the DICOM objects (`results.dicom_objects.source_headers`)."""
    if image.header is None:
        return str(uids.derive_series("picture"))
    return image.header.series_instance_uid or str(uids.derive("series of", image.instance))


def _make_instance(image: SourceImage, view: CaseView, uids: ResultUids) -> Json:
    header = image.header
    uid = header.sop_instance_uid if header is not None else str(derive_picture_uid(image, view, uids))
    sop_class = header.sop_class_uid if header is not None else _STORAGE_OF_PICTURE
    return {"uid": uid, "sopClass": {"system": URI, "code": f"urn:oid:{sop_class}"}}


def _make_attachment(view: CaseView, pdf: bytes) -> Json:
    return {
        "contentType": "application/pdf",
        "language": view.language.replace("_", "-"),
        "data": base64.b64encode(pdf).decode("ascii"),
        "creation": view.made_at,
    }
