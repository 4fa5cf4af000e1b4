"""A case as the contract's JSON object ``lantern.case/1`` (`docs/case.schema.json`), in one language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from firmware_app.cases.lesion_tracking import score_findings
from firmware_app.core.records import (
    Case,
    Feature,
    FileRecord,
    Finding,
    FollowUp,
    FramesRead,
    Lesion,
    LesionSightings,
    Reading,
    Reason,
)
from firmware_app.monitoring import calibration_status

SCHEMA: Final = "lantern.case/1"
_MORE_SIZES: Final = ("area_mm2", "long_axis_px", "short_axis_px", "volume_px3")


def case_to_json(case: Case, language: str) -> dict[str, Any]:
    """The object of one line, ready for `json.dumps`; sentences and labels are in *language*."""
    return {
        "schema": SCHEMA,
        "case": case.reference,
        "study_instance_uid": case.study_instance_uid,
        "modality": case.modality,
        "revision": case.revision,
        "priority": case.priority.value if case.priority else None,
        "follow_up": _follow_up_to_json(case.follow_up, language),
        "incomplete": _reason_to_json(case.incomplete, language),
        **_local_state_to_json(case, language),
        "files": [_file_to_json(record, language) for record in case.files],
        "readings": [_reading_to_json(reading, language) for reading in case.readings],
        "findings": [finding_to_json(finding, language) for finding in case.findings],
        "lesions": [lesion_to_json(lesion) for lesion in case.lesions],
        **({"scores": _round_values(score_findings(case.lesions))} if case.lesions else {}),
    }


def _local_state_to_json(case: Case, language: str) -> dict[str, Any]:
    """How far the pack has proved itself at this clinic; absent where no pack was chosen."""
    found = calibration_status.explain_calibration(case)
    return (
        {}
        if found is None
        else {"local_calibration": {"state": found[0], **(_reason_to_json(found[1], language) or {})}}
    )


def _reason_to_json(reason: Reason | None, language: str) -> dict[str, str] | None:
    """Code and sentence, and the pack where one alone refused."""
    if reason is None:
        return None
    pack = {"pack": str(reason.details["pack"])} if "pack" in reason.details else {}
    return {"code": reason.code, "text": reason.text(language), **pack}


def _follow_up_to_json(advice: FollowUp | None, language: str) -> dict[str, Any] | None:
    if advice is None:
        return None
    return {
        "code": advice.code,
        "text": advice.text(language),
        "advice": _choose_label(advice.advice, language),
        "rule": _choose_label(advice.rule, language),
        "source": advice.source,
        "pack": advice.pack,
        "version": advice.version,
        "background": list(advice.background),
    }


def _file_to_json(record: FileRecord, language: str) -> dict[str, Any]:
    return {
        "path": record.path,
        **({"path_bytes": record.path_bytes} if record.path_bytes is not None else {}),
        "instance": record.instance,
        "status": record.status.value,
        "reason": _reason_to_json(record.reason, language),
    }


def _reading_to_json(reading: Reading, language: str) -> dict[str, Any]:
    pack = reading.pack
    return {
        "scope": reading.scope.value,
        "instances": list(reading.instances),
        "status": reading.status.value,
        "reason": _reason_to_json(reading.reason, language),
        "pack": None
        if pack is None
        else {"name": pack.name, "version": pack.version, "runtime": pack.runtime, "precision": pack.precision},
        "findings": [finding_to_json(finding, language) for finding in reading.findings],
        "lesions": [lesion_to_json(lesion) for lesion in reading.lesions],
        "quality": {
            "acceptable": reading.quality.acceptable,
            "hints": [_reason_to_json(hint, language) for hint in reading.quality.hints],
        },
        "milliseconds": {"decode": reading.timing.decode, "infer": reading.timing.infer, "total": reading.timing.total},
        **({"frames": _frames_to_json(reading.frames)} if reading.frames is not None else {}),
        **({"local_calibration": reading.local} if reading.local is not None else {}),
        **({"not_looked_for": _choose_label(reading.not_looked_for, language)} if reading.not_looked_for else {}),
    }


def _frames_to_json(frames: FramesRead) -> dict[str, Any]:
    """The frames of a clip that were read, numbered from 0; absent for a film."""
    return {"of": frames.of, "read": list(frames.read), "strongest": dict(frames.strongest)}


def finding_to_json(finding: Finding, language: str) -> dict[str, Any]:
    """A finding without a label in *language* gets its English one."""
    return {
        "code": finding.code,
        "label": _choose_label(finding.label, language) or finding.code,
        "probability": round(finding.probability, 4),
        "threshold": round(finding.threshold, 4),
        "positive": finding.positive,
        **(
            {}
            if finding.value is None
            else {"value": round(finding.value, 4), "unit": _choose_label(finding.unit, language)}
        ),
    }


def _choose_label(words: Mapping[str, str], language: str) -> str:
    return words.get(language) or words.get("en") or ""


def lesion_to_json(lesion: Lesion) -> dict[str, Any]:
    """A lesion; what is not known of it and is not in the schema's list of required keys is left out."""
    return {
        "instance": lesion.instance,
        "frame": lesion.frame,
        "box": list(lesion.box),
        "score": round(lesion.score, 4),
        "area_px": lesion.area_px,
        "long_axis_mm": lesion.long_axis_mm,
        "short_axis_mm": lesion.short_axis_mm,
        "volume_mm3": lesion.volume_mm3,
        "tags": dict(lesion.tags),
        **{name: size for name in _MORE_SIZES if (size := getattr(lesion, name)) is not None},
        **({"chances": _round_values(lesion.chances)} if lesion.chances else {}),
        **({"features": [_feature_to_json(feature) for feature in lesion.features]} if lesion.features else {}),
        **({"outline": [list(point) for point in lesion.outline]} if lesion.outline else {}),
        **({"axes": [list(axis) for axis in lesion.axes]} if lesion.axes else {}),
        **({"seen": _occurrence_to_json(lesion.seen)} if lesion.seen is not None else {}),
    }


def _feature_to_json(feature: Feature) -> dict[str, Any]:
    source = "learned" if feature.learned else "computed"
    measure = {} if feature.measure is None else {"measure": round(feature.measure, 4)}
    confidence = round(feature.confidence, 3)
    return {"name": feature.name, "term": feature.term, "confidence": confidence, "source": source, **measure}


def _occurrence_to_json(seen: LesionSightings) -> dict[str, Any]:
    """In how many frames a case's lesion was seen, of how many; the range of its sizes; frames that say a finding."""
    return {
        "frames": seen.frames,
        "of": seen.of,
        "marks": [{"instance": instance, "frame": frame} for instance, frame in seen.marks],
        "ranges": {name: list(ends) for name, ends in seen.ranges.items()},
        "votes": dict(seen.votes),
    }


def _round_values(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}
