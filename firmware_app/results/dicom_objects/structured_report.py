"""The structured report: TID 1500 in a Comprehensive 3D SR, as IHE AI Results asks.

One measurement group for each finding of each reading and for each lesion of the case, with its algorithm, its images
and its tracking id; one for images that could not be judged.  Where several readings say something of one finding, a
group for the whole case stands first.  The report is UNVERIFIED until a doctor has finished the case.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

import highdicom as hd
import numpy as np
from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID, Comprehensive3DSRStorage

from firmware_app.core.lesion import Lesion
from firmware_app.core.records import Finding, PackIdentity, Reading, ReadingStatus
from firmware_app.results.case_view import CaseLesion
from firmware_app.results.dicom_objects import coded_concepts
from firmware_app.results.dicom_objects.result_context import ObjectType, ResultContext

TYPE: Final = ObjectType("sr", 9101, has_text=True)
_Group = sr.MeasurementsAndQualitativeEvaluations | sr.PlanarROIMeasurementsAndQualitativeEvaluations


def make_reports(context: ResultContext) -> Iterator[Dataset]:
    """The one report of the case."""
    yield make_report(context)


def make_report(context: ResultContext) -> Dataset:
    """Build the report of the case."""
    view, signature = context.view, context.view.done
    groups = list(_group_answer(context))
    groups += [group for reading in view.case.readings for group in _make_groups(context, reading)]
    groups += [_group_lesion(context, marked) for marked in context.lesions if context.has_source_frame(marked.lesion)]
    content = sr.MeasurementReport(
        observation_context=_make_observers(context),
        procedure_reported=coded_concepts.PROCEDURE,
        imaging_measurements=groups or None,
    )
    made = sr.Comprehensive3DSR(
        evidence=list(context.sources.values()),
        content=content[0],
        series_instance_uid=context.uids.derive_series(TYPE.kind),
        series_number=TYPE.series_number,
        sop_instance_uid=context.uids.derive_instance(view.version, TYPE.kind),
        instance_number=view.version,
        manufacturer=context.manufacturer,
        is_complete=True,
        is_final=signature is not None,
        is_verified=signature is not None,
        verifying_observer_name=context.format_account_name(signature.actor) if signature is not None else None,
        verifying_organization=context.organization if signature is not None else None,
        institution_name=context.organization,
        previous_versions=_find_previous(context) or None,
        series_description="Lantern: findings",
        specific_character_set="ISO_IR 192",
    )
    if signature is not None:
        signed_at = signature.at.at.astimezone()
        made.VerifyingObserverSequence[0].VerificationDateTime = signed_at.strftime("%Y%m%d%H%M%S")
    return made


def _make_observers(context: ResultContext) -> sr.ObservationContext:
    device = sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=context.device_uid,
            name="Lantern",
            manufacturer_name=context.manufacturer,
            model_name=context.model,
            physical_location=context.organization,
        ),
    )
    signature = context.view.done
    person = (
        sr.ObserverContext(
            observer_type=codes.DCM.Person,
            observer_identifying_attributes=sr.PersonObserverIdentifyingAttributes(
                name=context.format_account_name(signature.actor)
            ),
        )
        if signature is not None
        else None
    )
    return sr.ObservationContext(observer_device_context=device, observer_person_context=person)


def _find_previous(context: ResultContext) -> list[Dataset]:
    """The report of the version before, which this one replaces (PS3.3 C.17.2, Predecessor Documents Sequence)."""
    version = context.view.version
    if version < 2:
        return []
    before = Dataset()
    before.SOPClassUID = Comprehensive3DSRStorage
    before.SOPInstanceUID = context.uids.derive_instance(version - 1, TYPE.kind)
    before.SeriesInstanceUID = context.uids.derive_series(TYPE.kind)
    before.StudyInstanceUID = context.any_source.StudyInstanceUID
    return [before]


def _group_answer(context: ResultContext) -> Iterator[_Group]:
    """The case's findings of which several readings say something: an archive must not choose between them."""
    for finding in context.view.case.findings:
        said = [
            reading
            for reading in context.view.case.readings
            if finding.code in {other.code for other in reading.findings}
        ]
        strongest = context.view.find_reading(finding)
        if len(said) > 1 and strongest is not None:
            everything = tuple(instance for one in said for instance in one.instances)
            yield _group_finding(context, replace(strongest, instances=everything), finding, scope="case")


def _make_groups(context: ResultContext, reading: Reading) -> Iterator[_Group]:
    if reading.status is ReadingStatus.CANNOT_JUDGE:
        yield _group_unjudged(context, reading)
        return
    for finding in reading.findings:
        yield _group_finding(context, reading, finding)


def _group_unjudged(context: ResultContext, reading: Reading) -> _Group:
    reason = reading.reason
    evaluations = [sr.QualitativeEvaluation(name=coded_concepts.SUCCESS, value=coded_concepts.FAILED)]
    if reason is not None:
        said = coded_concepts.make_private_code(reason.code, reason.text("en"))
        evaluations.append(sr.QualitativeEvaluation(name=coded_concepts.WHY, value=said))
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_make_tracking(context, "unjudged", *reading.instances),
        finding_type=coded_concepts.UNJUDGED,
        algorithm_id=_identify_algorithm(reading.pack, ()) if reading.pack is not None else None,
        qualitative_evaluations=evaluations,
        source_images=_list_images(context, reading),
    )


def _group_finding(context: ResultContext, reading: Reading, one: Finding, *, scope: str = "finding") -> _Group:
    presence = coded_concepts.PRESENT if one.positive else coded_concepts.ABSENT
    summary = coded_concepts.FOUND if one.positive else coded_concepts.NOTHING_FOUND
    evaluations = [
        sr.QualitativeEvaluation(name=coded_concepts.PRESENCE, value=presence),
        sr.QualitativeEvaluation(name=coded_concepts.SUCCESS, value=summary),
        *(
            sr.QualitativeEvaluation(
                name=coded_concepts.DOCTORS_ASSESSMENT, value=coded_concepts.ASSESSMENTS[said.verdict]
            )
            for said in context.view.opinions
            if said.finding == one.code and said.verdict in coded_concepts.ASSESSMENTS
        ),
    ]
    unit = coded_concepts.code_unit(one.unit.get("en", ""))
    measured = []
    if one.value is not None and unit is not None:
        measured.append(
            sr.Measurement(name=coded_concepts.code_finding(one, one.code), value=float(one.value), unit=unit)
        )
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_make_tracking(context, scope, one.code, *(reading.instances if scope != "case" else ())),
        finding_type=coded_concepts.code_finding(one, one.code),
        algorithm_id=_identify_algorithm(reading.pack, (one,)),
        measurements=[_measure_certainty(one.probability), *measured],
        qualitative_evaluations=evaluations,
        source_images=_list_images(context, reading),
    )


def _group_lesion(context: ResultContext, one: CaseLesion) -> _Group:
    """In its best frame, with its sizes as the case has them."""
    lesion, reading = one.lesion, one.reading
    source = context.sources[lesion.instance]
    frames = [lesion.frame + 1] if "NumberOfFrames" in source else None
    region = sr.ImageRegion(
        graphic_type=sr.GraphicTypeValues.POLYLINE,
        graphic_data=context.compute_corners(lesion, closed=True),
        source_image=sr.SourceImageForRegion(
            referenced_sop_class_uid=source.SOPClassUID,
            referenced_sop_instance_uid=source.SOPInstanceUID,
            referenced_frame_numbers=frames,
        ),
    )
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=_make_tracking(context, *one.name, text=one.title),
        referenced_region=region,
        finding_type=coded_concepts.code_finding(one.finding, lesion.finding),
        algorithm_id=_identify_algorithm(reading.pack, reading.findings),
        measurements=list(_measure_sizes(lesion, context.compute_scale(lesion))),
    )


def _measure_sizes(lesion: Lesion, scale: float) -> Iterator[sr.Measurement]:
    yield _measure_certainty(lesion.score)
    in_millimetres = lesion.long_axis_mm is not None
    for name, suffix in ((coded_concepts.LONG_AXIS, "long_axis"), (coded_concepts.SHORT_AXIS, "short_axis")):
        value = getattr(lesion, f"{suffix}_mm" if in_millimetres else f"{suffix}_px")
        if value is not None:
            unit = coded_concepts.MILLIMETRE if in_millimetres else coded_concepts.PIXEL
            yield sr.Measurement(name=name, value=_round_value(value * (1.0 if in_millimetres else scale)), unit=unit)
    if lesion.area_mm2 is not None:
        yield sr.Measurement(
            name=coded_concepts.AREA, value=_round_value(lesion.area_mm2), unit=coded_concepts.SQUARE_MILLIMETRE
        )
    if lesion.volume_mm3 is not None:
        yield sr.Measurement(
            name=coded_concepts.VOLUME, value=_round_value(lesion.volume_mm3), unit=coded_concepts.CUBIC_MILLIMETRE
        )


def _measure_certainty(probability: float) -> sr.Measurement:
    return sr.Measurement(
        name=coded_concepts.CERTAINTY, value=_round_value(100.0 * probability), unit=coded_concepts.PERCENT
    )


def _round_value(value: float) -> float:
    return float(f"{value:.4g}") if np.isfinite(value) else 0.0


def _identify_algorithm(pack: PackIdentity | None, findings: Iterable[Finding]) -> sr.AlgorithmIdentification | None:
    if pack is None:
        return None
    thresholds = [f"threshold of {finding.code}: {finding.threshold:.4f}" for finding in findings]
    return sr.AlgorithmIdentification(
        name=pack.name,
        version=pack.version,
        parameters=[f"runtime: {pack.runtime}", f"precision: {pack.precision}", *thresholds],
    )


def _make_tracking(context: ResultContext, *parts: str, text: str = "") -> sr.TrackingIdentifier:
    uid: UID = context.uids.derive("tracking", *parts)
    return sr.TrackingIdentifier(uid=hd.UID(uid), identifier=text or f"{parts[0]} {parts[1]}"[:64])


def _list_images(context: ResultContext, reading: Reading) -> list[sr.SourceImageForMeasurementGroup] | None:
    images = []
    for instance in reading.instances:
        source = context.sources.get(instance)
        if source is not None:
            images.append(
                sr.SourceImageForMeasurementGroup(
                    referenced_sop_class_uid=source.SOPClassUID, referenced_sop_instance_uid=source.SOPInstanceUID
                )
            )
    return images or None
