"""A clinic's feedback for the model engineer: the images of cases that doctors have assessed, as one sealed file.

No header data leaves: an image is the grey picture that the reader made for the screen, with a name and a patient code
that only this appliance can repeat. An image is included where the patient agrees, a doctor has looked for words in
the picture (`cases.feedback`), and all doctors who gave an opinion agree. The result of a laboratory or the hospital
counts more than what is seen. The file is made in memory and handed to the person who requested it: the appliance
itself writes to no stick.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.confirmations import Confirmations, Truth
from firmware_app.cases.exports import FeedbackConsents
from firmware_app.cases.patients import Patients
from firmware_app.cases.remarks import Drawing, Remark, RemarkKind, Remarks, select_current
from firmware_app.cases.verdicts import DoubleReading, Verdicts
from firmware_app.core.records import Case, Finding, Reading, ReadingStatus, Scope
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.results.errors import EXPORT_OFF, FEEDBACK_EMPTY, FEEDBACK_NO_KEY
from firmware_app.uplink.messages import feedback as form
from firmware_app.uplink.messages.envelope import compute_key_id
from firmware_app.uplink.messages.feedback import FeedbackRecord, Points

MOST_BYTES: Final = 64 * 1024 * 1024
"""Of the films of one file: it is made in memory, three times over."""
_PURPOSE: Final = "feedback"


@dataclass(frozen=True, slots=True)
class FeedbackImage:
    """A film that can be given: *state* is a digest of all that is said of it."""

    case: str
    instance: str
    record: FeedbackRecord
    state: str


@dataclass(slots=True)
class FeedbackStatus:
    """How far the clinic's feedback is: consented cases, films to be given, those given before, and how many films stay
    out for which reason (a key of `KEPT_BACK`)."""

    cases: int = 0
    due: int = 0
    given: int = 0
    kept_back: Counter[str] = field(default_factory=Counter)


def read_engineer_key_id(config: Config) -> str:
    """The number of the engineer's key, to be compared over the telephone; raises `EXPORT_OFF` and
    `FEEDBACK_NO_KEY`."""
    return compute_key_id(_read_engineer_key(config)).hex()


def count_feedback(config: Config, clinical: ClinicalDatabase) -> FeedbackStatus:
    """What an export would hold now, without making it."""
    told, given = FeedbackStatus(), FeedbackConsents(clinical.database).list_given()
    for image in _list_images(config, clinical, told, pixels=False):
        if given.get(image.instance) == image.state:
            told.given += 1
        else:
            told.due += 1
    return told


def export_feedback(config: Config, clinical: ClinicalDatabase, actor: str, *, again: bool = False) -> bytes:
    """The sealed file of the films that were not given yet, or *again* of all; what does not fit stays for the next.

    The audit has it before this returns.  Raises `EXPORT_OFF`, `FEEDBACK_NO_KEY` and `FEEDBACK_EMPTY`.
    """
    to, feedback = _read_engineer_key(config), FeedbackConsents(clinical.database)
    given = {} if again else feedback.list_given()
    films: list[FeedbackImage] = []
    size = 0
    for image in _list_images(config, clinical, FeedbackStatus(), pixels=True):
        if given.get(image.instance) == image.state:
            continue
        size += len(image.record.png)
        if films and (size > MOST_BYTES or len(films) >= form.MOST_IMAGES):
            break
        films.append(image)
    if not films:
        raise FEEDBACK_EMPTY()
    made = form.seal_feedback(form.pack_feedback([film.record for film in films]), to)
    digest = hashlib.sha256(made).hexdigest()
    feedback.record_export(
        {(film.case, film.instance): film.state for film in films},
        actor,
        key=compute_key_id(to).hex(),
        sha256=digest[:16],
    )
    return made


def _read_engineer_key(config: Config) -> X25519PublicKey:
    path = config.export.feedback_key
    if not config.export.enabled or path is None:
        raise EXPORT_OFF()
    try:
        return form.parse_engineer_key(path.read_bytes())
    except (OSError, ValueError) as error:
        detail = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise FEEDBACK_NO_KEY(path=str(path), detail=detail[:120]) from None


def _list_images(
    config: Config, clinical: ClinicalDatabase, told: FeedbackStatus, *, pixels: bool
) -> Iterator[FeedbackImage]:
    state, secret = StateDir(config.state.dir), clinical.derive_subkey(_PURPOSE)
    verdicts = Verdicts(clinical, two_readers=config.review.two_readers)
    for case in FeedbackConsents(clinical.database).list_consented_cases():
        told.cases += 1
        known = clinical.load_case(case)
        remarks = [
            remark for remark in select_current(Remarks(clinical.database).list_for_case(case)) if not remark.earlier
        ]
        readers = verdicts.load_double_reading(case)
        if readers is not None and not readers.is_complete:
            told.kept_back["undecided"] += len(known.readings)
            continue
        patient = Patients(clinical, state).load_displayed(case).patient.patient_id or case
        for instance, reading, finding in _list_single_readings(known, told):
            heard = _filter_remarks(remarks, finding.code, readers)
            label = _derive_label(clinical, known, heard, instance, finding)
            if label is None:
                told.kept_back["undecided"] += 1
                continue
            drawn = [
                remark.drawing
                for remark in heard
                if label
                and remark.drawing
                and remark.drawing.instance == instance
                and (remark.kind, remark.finding) == (RemarkKind.VERDICT, finding.code)
            ]
            drawn = [drawing for drawing in drawn if drawing.frame == drawn[-1].frame]
            frame = drawn[-1].frame if drawn else _find_frame(reading, finding)
            picture = _read_picture(state.display / instance, frame, drawn, pixels=pixels)
            if picture is None or reading.pack is None:
                told.kept_back["no_picture"] += 1
                continue
            record = FeedbackRecord(
                file=f"{_make_pseudonym(secret, 'film', instance)}.png",
                label=str(int(label)),
                patient=_make_pseudonym(secret, "patient", patient),
                pack=reading.pack.name,
                version=reading.pack.version,
                png=picture[0],
                drawn=picture[1],
            )
            said = json.dumps([record.label, record.drawn, record.pack, record.version, frame])
            yield FeedbackImage(case, instance, record, hashlib.sha256(said.encode()).hexdigest()[:16])


def _filter_remarks(remarks: list[Remark], finding: str, readers: DoubleReading | None) -> list[Remark]:
    """*remarks* without those of doctors on whose difference over *finding* a third has the last word."""
    if readers is None or finding not in readers.differ:
        return remarks
    return [remark for remark in remarks if remark.actor == readers.settled]


def _list_single_readings(case: Case, told: FeedbackStatus) -> Iterator[tuple[str, Reading, Finding]]:
    """The images of *case* that one pack read for its one finding."""
    for reading in case.readings:
        if reading.status is not ReadingStatus.READ or reading.scope is not Scope.INSTANCE:
            continue
        if len(reading.findings) != 1:  # a label says of one finding whether it is there
            told.kept_back["several"] += 1
            continue
        yield reading.instances[0], reading, reading.findings[0]


def _derive_label(
    clinical: ClinicalDatabase, case: Case, remarks: list[Remark], instance: str, finding: Finding
) -> bool | None:
    """Whether the finding is on the image, by everybody who spoke of it; None where they differ, or nobody knows.

    What is said of a case of several images says of one of them only that a finding is not there.
    """
    alone = sum(1 for reading in case.readings for other in reading.findings if other.code == finding.code) == 1
    outcome = Confirmations(clinical.database).find_truth(case.reference or "", finding.code)
    if outcome is not None and not outcome.source.by_eye:
        is_there = outcome.truth is Truth.POSITIVE
        return is_there if alone or not is_there else None
    whole = next((one.positive for one in case.findings if one.code == finding.code), finding.positive)
    said: dict[str, bool | None] = {}
    for remark in remarks:
        if (
            remark.kind is not RemarkKind.VERDICT
            or remark.finding != finding.code
            or remark.instance not in ("", instance)
        ):
            continue
        if remark.instance:
            said[remark.actor] = _interpret_verdict(remark.text, finding.positive)
        elif remark.actor not in said:
            label = _interpret_verdict(remark.text, whole)
            said[remark.actor] = label if alone or label is False else None
    labels = set(said.values())
    return labels.pop() if len(labels) == 1 else None


def _interpret_verdict(verdict: str, positive: bool) -> bool | None:
    """What a verdict on a finding that the box calls *positive* says of it; None: nothing."""
    if verdict == "missed":
        return True
    return positive is (verdict == "agree") if verdict in ("agree", "disagree") else None


def _find_frame(reading: Reading, finding: Finding) -> int:
    return reading.frames.strongest.get(finding.code, 0) if reading.frames else 0


def _read_picture(
    folder: Path, frame: int, drawn: list[Drawing], *, pixels: bool
) -> tuple[bytes, tuple[Points, ...]] | None:
    """The frame as a grey PNG of nothing but pixels (empty unless *pixels*), and what was drawn in its pixels; None
    where there is none, or it is in colour."""
    path = folder / f"frame-{frame:03d}.png"
    try:
        facts = json.loads(path.with_suffix(".json").read_text("utf-8"))
        across = int(facts["shown_columns"]) / int(facts["columns"])
        down = int(facts["shown_rows"]) / int(facts["rows"])
        if path.is_symlink() or not path.is_file():
            return None
        if facts["colour"]:
            return None
        png = _read_plain(path, (int(facts["shown_columns"]), int(facts["shown_rows"]))) if pixels else b""
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
        return None
    places = tuple(tuple((round(x * across), round(y * down)) for x, y in drawing.points) for drawing in drawn)
    return png, places


def _read_plain(path: Path, size: tuple[int, int]) -> bytes:
    """The grey picture at *path*, which holds nothing but pixels; raises `ValueError` for any other.  Nothing is
    decoded: this runs in the viewer."""
    png = path.read_bytes()
    if not form.is_plain_png(png) or struct.unpack(">II", png[16:24]) != size:
        raise ValueError("no plain grey picture")
    return png


def _make_pseudonym(secret: bytes, kind: str, name: str) -> str:
    """A name that is the same in every export and that only this box can make."""
    return hmac.new(secret, f"{kind}\0{name}".encode(), hashlib.sha256).hexdigest()[:32]
