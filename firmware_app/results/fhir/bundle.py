"""The Bundle of a case: DiagnosticReport, ImagingStudy, Observations and the devices that made them (FHIR R4).

It is a transaction of conditional updates: a server that has an earlier version, or this one, changes it and makes
nothing twice.  The patient is named by identifier only: whoever keeps the patients' register decides who that is.
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
from firmware_app.dicom.headers import identity
from firmware_app.results import terms, wording
from firmware_app.results.dicom_objects.making import uids_of
from firmware_app.results.dicom_objects.source import picture_uid
from firmware_app.results.dicom_objects.uids import Uids
from firmware_app.results.fhir.coding import (
    DICOM_UID,
    URI,
    Json,
    concept,
    day,
    hl7_concept,
    identifier,
    url_of,
    without_nothing,
)
from firmware_app.results.fhir.observations import Told, observations, withdrawn
from firmware_app.results.result import Result, SourceImage

WARNING: Final = N_("AI-assisted, not for diagnostic use without a doctor.")
TITLE: Final = Code("18748-4", "LN", "Diagnostic imaging report")
_STORAGE_OF_PICTURE: Final = "1.2.840.10008.5.1.4.1.1.7"  # as `results.dicom_objects.capture.plain_pictures` writes it


def bundle_of(result: Result, pdf: bytes | None = None, earlier: Collection[str] = ()) -> Json:
    """The Bundle of *result*, with its printed report *pdf* in the DiagnosticReport.

    *earlier* are the Observations of the case that earlier Bundles had (`observations_in`); those that it says no more
    are marked as entered in error.
    """
    uids = uids_of(result)
    study_uid = uids.of("fhir", "study")
    devices = dict(_devices(result, uids))
    subject, status = _subject(result), "final" if result.signature is not None else "preliminary"
    common = {
        "status": status,
        "subject": subject,
        "derivedFrom": [{"reference": url_of(study_uid)}],
        "issued": result.made_at,
        **_effective(result),
    }
    told = Told(result, uids, common, {str(pack): url_of(uid) for pack, (uid, _) in devices.items()})
    found = list(observations(told))
    report_uid = uids.of("fhir", "report")
    report = without_nothing(
        {
            "resourceType": "DiagnosticReport",
            "identifier": [identifier(report_uid)],
            "status": status,
            "category": [hl7_concept("v2-0074", "RAD")],
            "code": concept(TITLE),
            "subject": subject,
            **_effective(result),
            "issued": result.made_at,
            "performer": [{"display": result.box}],
            "resultsInterpreter": [{"display": result.signature.actor}] if result.signature is not None else [],
            "result": [{"reference": url_of(uid)} for uid, _ in found],
            "imagingStudy": [{"reference": url_of(study_uid)}],
            "conclusion": "\n".join(sentences(result)),
            "presentedForm": [_attached(result, pdf)] if pdf is not None else [],
        }
    )
    resources = [*devices.values(), (study_uid, _study(result, uids, study_uid)), *found, (report_uid, report)]
    entries = [_entry(url_of(uid), resource) for uid, resource in resources]
    said = {url_of(uid) for uid, _ in found}
    entries += [_entry(url, withdrawn(url, subject)) for url in sorted(set(earlier) - said)]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def observations_in(bundle: Json) -> list[str]:
    """By what a server knows each Observation in *bundle*."""
    return [one["fullUrl"] for one in bundle["entry"] if one["resource"]["resourceType"] == "Observation"]


def text_of(bundle: Json) -> str:
    return json.dumps(bundle, ensure_ascii=False, indent=1)


def sentences(result: Result) -> list[str]:
    """The case in sentences: the warning, what doctors say of the findings, and what the models say."""
    case, language = result.case, result.language
    said = [terms.said(one, wording.named(case.findings, one.finding, language), language) for one in result.opinions]
    return [translate(WARNING, language), *said, *wording.paragraphs(case, language)]


def accession(result: Result) -> str:
    """The accession number in the first image that has one."""
    return next((number for image in result.images if (number := _accession(Path(image.display)))), "")


def _accession(display: Path) -> str:
    try:
        told = json.loads((display / identity.FILE_NAME).read_text("utf-8"))
    except (OSError, ValueError):
        return ""
    number: Any = told.get("accession") if isinstance(told, dict) else None
    return number[:16] if isinstance(number, str) else ""


def _entry(name: str, resource: Json) -> Json:
    """A conditional update (FHIR R4, 3.1.0.4.3) by the identifier that never changes."""
    url = f"{resource['resourceType']}?identifier={quote(f'{URI}|{name}')}"
    return {"fullUrl": name, "resource": resource, "request": {"method": "PUT", "url": url}}


def _subject(result: Result) -> Json:
    patient = result.patient
    return without_nothing(
        {
            "type": "Patient",
            "identifier": {"use": "usual", "value": patient.patient_id} if patient.patient_id else None,
            "display": patient.name or patient.patient_id or "–",
        }
    )


def _effective(result: Result) -> Json:
    """The day of the study, where an image says it."""
    days = (day(image.header.study_date) for image in result.images if image.header is not None)
    return without_nothing({"effectiveDateTime": next(filter(None, days), None)})


def _devices(result: Result, uids: Uids) -> Iterator[tuple[PackIdentity, tuple[UID, Json]]]:
    """Each pack that read, as software on this box."""
    for pack in dict.fromkeys(one.pack for one in result.case.readings if one.pack is not None):
        uid = Uids(uids.key, "").of("fhir", "device", pack.name, pack.version, pack.runtime, pack.precision)
        yield (
            pack,
            (
                uid,
                {
                    "resourceType": "Device",
                    "identifier": [identifier(uid)],
                    "manufacturer": "Lantern",
                    "deviceName": [{"name": f"{pack.name} ({pack.runtime}, {pack.precision})", "type": "model-name"}],
                    "version": [{"value": pack.version}, {"value": result.software}],
                },
            ),
        )


def _study(result: Result, uids: Uids, uid: UID) -> Json:
    number = accession(result)
    study_uid = next((one.header.study_instance_uid for one in result.images if one.header is not None), None)
    accessions = {"type": hl7_concept("v2-0203", "ACSN"), "value": number}
    series: dict[str, list[SourceImage]] = {}
    for image in result.images:
        series.setdefault(_series_uid(image, uids), []).append(image)
    return without_nothing(
        {
            "resourceType": "ImagingStudy",
            "identifier": [
                {"system": DICOM_UID, "value": f"urn:oid:{study_uid or uids.of('study')}"},
                identifier(uid),
                *([accessions] if number else []),
            ],
            "status": "available",
            "subject": _subject(result),
            "started": _effective(result).get("effectiveDateTime"),
            "numberOfSeries": len(series),
            "numberOfInstances": len(result.images),
            "series": [_series(name, images, result, uids) for name, images in series.items()],
        }
    )


def _series(uid: str, images: list[SourceImage], result: Result, uids: Uids) -> Json:
    modality = next((one.header.modality for one in images if one.header is not None and one.header.modality), "OT")
    return {
        "uid": uid,
        "modality": {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": modality},
        "numberOfInstances": len(images),
        "instance": [_instance(image, result, uids) for image in images],
    }


def _series_uid(image: SourceImage, uids: Uids) -> str:
    """As in the DICOM objects (`results.dicom_objects.source`)."""
    if image.header is None:
        return str(uids.series("picture"))
    return image.header.series_instance_uid or str(uids.of("series of", image.instance))


def _instance(image: SourceImage, result: Result, uids: Uids) -> Json:
    header = image.header
    uid = header.sop_instance_uid if header is not None else str(picture_uid(image, result, uids))
    sop_class = header.sop_class_uid if header is not None else _STORAGE_OF_PICTURE
    return {"uid": uid, "sopClass": {"system": URI, "code": f"urn:oid:{sop_class}"}}


def _attached(result: Result, pdf: bytes) -> Json:
    return {
        "contentType": "application/pdf",
        "language": result.language.replace("_", "-"),
        "data": base64.b64encode(pdf).decode("ascii"),
        "creation": result.made_at,
    }
