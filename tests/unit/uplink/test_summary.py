"""Only what is on the list can be built, sent or accepted."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_app.core.clock import Stamp
from firmware_app.core.errors import LanternError
from firmware_app.core.records import (
    Case,
    Feature,
    Finding,
    Lesion,
    LesionSightings,
    LocalState,
    PackIdentity,
    Priority,
    Quality,
    Reading,
    ReadingStatus,
    Reason,
    Scope,
    Timing,
)
from firmware_app.uplink.errors import MessageInvalid
from firmware_app.uplink.messages.box_reports import (
    MOST_MEASURES,
    MOST_SELF_TEST_PARTS,
    MOST_SITE_FIGURES,
    DiskSlot,
    LeftSlot,
    MeasureDrift,
    MeasureTrend,
    RunningSoftware,
    SiteDrift,
    SiteFigures,
    SlotLeftReason,
)
from firmware_app.uplink.messages.message import MOST_MESSAGE_BYTES, Message, WireVersion
from firmware_app.uplink.messages.summary import (
    MERGED_MARKS,
    MOST_FAULTS,
    MOST_MARKS,
    MOST_PACKS,
    Brief,
    ClinicFigures,
    Digest,
    DriftWatch,
    FindingBrief,
    Mark,
    Modality,
    Opinion,
    Origin,
    PackBrief,
    Presence,
    PresenceKind,
    SizeBand,
    SoftwareState,
    Summary,
    SummaryRuntime,
    decode_up,
    size_band,
)
from firmware_app.uplink.outbox import make_brief, shorten_brief
from tests.unit.messages import BRIEFS, MESSAGES

NOON = Stamp(datetime(2026, 11, 21, 12, 34, tzinfo=UTC), trusted=True)
ALLOWED = {
    "box",
    "stream",
    "seq",
    "boot",
    "case",
    "revision",
    "modality",
    "pack",
    "pack_version",
    "runtime",
    "priority",
    "findings",
    "code",
    "hundredths",
    "lesions",
    "size_band",
    "quality",
    "latency_ms",
    "verdict",
    "hour",
}
NAMES = ["Wang Xiaoming", "王小明", "WANG^XIAOMING", "77Y", "1.2.840.113619.2.55", "M", "a\nb", "", "x" * 99]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(MESSAGES)
def test_every_message_comes_back_as_it_was_sent(message: Message) -> None:
    body = message.encode()
    assert decode_up(body) == message
    assert len(body) <= MOST_MESSAGE_BYTES
    assert body.isascii()


@given(st.binary(max_size=300))
def test_no_bytes_crash_the_reader(data: bytes) -> None:
    with pytest.raises(MessageInvalid):
        decode_up(data)


@pytest.mark.parametrize(
    "data", [b"[" * 16_000, b'{"message":' + b"9" * 9000 + b"}", b'{"message":NaN}', b"\xff", b"null"]
)
def test_json_that_is_meant_to_hurt_is_refused(data: bytes) -> None:
    with pytest.raises(MessageInvalid):
        decode_up(data)


@settings(max_examples=50, deadline=None)
@given(BRIEFS, st.data())
def test_a_field_too_many_too_few_or_twice_is_refused(brief: Brief, data: st.DataObject) -> None:
    raw = {"message": "summary", **Summary(Origin("a", "0" * 32, 1, "0" * 16), brief).to_object()}
    part: dict[str, Any] = data.draw(st.sampled_from([raw, raw["brief"], raw["origin"]]))
    name = data.draw(st.sampled_from(sorted(part)))
    part[f"{name}2"] = part[name]
    with pytest.raises(MessageInvalid):
        decode_up(json.dumps(raw, sort_keys=True, separators=(",", ":")).encode())
    del part[f"{name}2"], part[name]
    with pytest.raises(MessageInvalid):
        decode_up(json.dumps(raw, sort_keys=True, separators=(",", ":")).encode())
    twice = b'{"message":"summary","message":"summary"}'
    with pytest.raises(MessageInvalid):
        decode_up(twice)


def test_the_list_is_the_one_of_the_architecture_page() -> None:
    built = {one.name for kind in (Origin, Brief, FindingBrief) for one in fields(kind)}
    assert built == ALLOWED
    assert {one.name for one in fields(Mark)} <= ALLOWED


@pytest.mark.parametrize("text", NAMES)
def test_no_field_of_a_brief_takes_a_name(text: str) -> None:
    brief = make_brief(case(), NOON)
    for field in fields(Brief):
        with pytest.raises(MessageInvalid) as caught:
            replace(brief, **{field.name: text})  # type: ignore[arg-type]
        assert text == "" or text not in str(caught.value), "the error does not quote what it refuses"


def case(**changes: Any) -> Case:
    """A case with every field filled, names in the places where images can put them."""
    pack = PackIdentity("chest-xray-adult", "1.2.0", "onnxruntime", "int8")
    finding = Finding("tuberculosis", {"en": "Tuberculosis"}, 0.925, 0.41)
    lesion = Lesion("i-1", 0, (1, 2, 3, 4), 0.9, long_axis_mm=12.5, tags={"note": "Wang"})
    reading = Reading(
        Scope.INSTANCE,
        ("i-1",),
        ReadingStatus.READ,
        None,
        pack,
        Timing(1, 5, 9.4),
        (finding,),
        (lesion,),
        Quality(hints=(Reason("hint.one_frame", {"frames": 3, "frame": 1}),)),
    )
    made = Case("c-" + "a" * 20, "1.2.840.113619.2.55", "CR", 2, Priority.URGENT, (), (reading,), (finding,), (lesion,))
    return replace(made, **changes)


def test_what_the_hospital_may_know_of_a_case() -> None:
    assert make_brief(case(), NOON) == Brief(
        "c-" + "a" * 20,
        2,
        Modality.CR,
        "chest-xray-adult",
        "1.2.0",
        SummaryRuntime.ONNXRUNTIME,
        Priority.URGENT,
        (FindingBrief("tuberculosis", 92),),
        1,
        SizeBand.FROM_10,
        "hint.one_frame",
        9,
        Opinion.NONE,
        "2026-11-21T12",
    )


def test_of_lesions_the_hospital_is_told_how_many_and_the_class_of_the_largest_section() -> None:
    seen = LesionSightings((("i-1", 0), ("i-1", 1)), 4, {"long_axis_mm": (9.0, 21.0)}, {"mass": 2})
    whole = Lesion(
        "i-1",
        0,
        (1, 2, 3, 4),
        0.9,
        long_axis_mm=12.5,
        short_axis_mm=8.25,
        volume_mm3=445.0,
        tags={"finding": "mass"},
        chances={"malignant": 0.35},
        features=(Feature("shape", "oval", 0.8),),
        outline=((1.0, 2.0),) * 3,
        seen=seen,
    )
    mark = case().lesions[0]
    brief, plain = (make_brief(case(lesions=(one, mark)), NOON) for one in (whole, mark))
    assert (brief.lesions, brief.size_band) == (2, SizeBand.FROM_20)
    assert replace(brief, size_band=plain.size_band) == plain, "nothing finer"


def test_a_case_that_could_not_be_judged_says_why_and_gives_no_number() -> None:
    reading = Reading(
        Scope.INSTANCE, ("i-1",), ReadingStatus.CANNOT_JUDGE, Reason("age.unknown"), None, Timing(1, 0, 1)
    )
    brief = make_brief(case(readings=(reading,), findings=(), lesions=(), priority=None), NOON)
    assert (brief.priority, brief.quality, brief.pack, brief.findings) == (
        Priority.CANNOT_JUDGE,
        "age.unknown",
        None,
        (),
    )


@given(st.text(), st.text(), st.text(), st.text())
def test_no_case_of_this_box_can_stop_the_outbox(modality: str, runtime: str, version: str, code: str) -> None:
    pack = PackIdentity("p" * 60, version, runtime, "int8")
    reading = replace(case().readings[0], pack=pack, quality=Quality(hints=(Reason(code),)))
    brief = make_brief(case(modality=modality, readings=(reading,)), NOON)
    assert brief.modality in Modality
    assert Summary(Origin("a", "0" * 32, 1, "0" * 16), brief).encode()


def test_a_name_in_the_modality_travels_as_other() -> None:
    assert make_brief(case(modality="WANGXIAOMING"), NOON).modality is Modality.OTHER


def test_without_a_clock_that_can_be_trusted_there_is_no_hour() -> None:
    assert make_brief(case(), replace(NOON, trusted=False)).hour is None


def test_the_longest_message_fits() -> None:
    origin = Origin("b" * 40, "f" * 32, 2**53 - 1, "f" * 16)
    mark = Mark("c-" + "f" * 20, 10**6, Priority.CANNOT_JUDGE, "2026-11-21T12")
    assert len(Digest(origin, (mark,) * MOST_MARKS).encode()) <= MOST_MESSAGE_BYTES
    findings = (FindingBrief("f" * 64, 100),) * 32
    assert len(Summary(origin, replace(make_brief(case(), NOON), findings=findings)).encode()) <= MOST_MESSAGE_BYTES


def test_whatever_a_box_says_fits_the_one_length_of_form_2() -> None:
    origin, most = Origin("b" * 40, "f" * 32, 2**53 - 1, "f" * 16), WireVersion.SECOND.most_bytes
    mark = Mark("c-" + "f" * 20, 10**6, Priority.CANNOT_JUDGE, "2026-11-21T12")
    assert len(Digest(origin, (mark,) * MERGED_MARKS).encode()) <= most
    quality = ".".join(["q" * 24] * 3)
    longest = Brief(
        "c-" + "f" * 20,
        10**6,
        Modality.OTHER,
        "p" * 40,
        "9999.9999.9999",
        SummaryRuntime.ONNXRUNTIME,
        Priority.CANNOT_JUDGE,
        (FindingBrief("f" * 64, 100),) * 32,
        9999,
        SizeBand.UNKNOWN,
        quality,
        10**9,
        Opinion.DISAGREE,
        "2026-11-21T12",
    )
    assert len(Summary(origin, shorten_brief(longest)).encode()) <= most
    assert len(shorten_brief(longest).findings) == 14, "the likeliest are kept"
    said = Presence(
        origin,
        PresenceKind.HEALTH,
        10**9,
        "9999.9999.9999" + "a" * 20,
        10**9,
        10**9,
        10**9,
        10**9,
        "f" * 64,
        "2026-11-21T12",
        ("f" * 16 + "." + "f" * 32,) * MOST_FAULTS,
        (PackBrief("p" * 40, "9999.9999.9999"),) * MOST_PACKS,
    )
    assert len(said.encode()) <= most
    place = SiteFigures(
        "p" * 40,
        "9999.9999.9999",
        "m-" + "f" * 20,
        "f" * 64,
        LocalState.PROVISIONAL,
        10_000,
        10**9,
        10**9,
        10**9,
        *[(100, 100, 100)] * 3,
    )
    assert len(ClinicFigures(origin, 10**9, (place,) * MOST_SITE_FIGURES, "2026-11-21T12").encode()) <= most
    measure = MeasureDrift("refused_at_home", -(10**9), -(10**9), 9999, MeasureTrend.CHANGED)
    watched = SiteDrift("p" * 40, "9999.9999.9999", "m-" + "f" * 20, 10**9, (measure,) * MOST_MEASURES)
    assert len(DriftWatch(origin, 10**9, watched, "2026-11-21T12").encode()) <= most
    left = LeftSlot(DiskSlot.B, "9" * 64, SlotLeftReason.UNSTARTED, ("p" * 24,) * MOST_SELF_TEST_PARTS)
    running = RunningSoftware("m" * 40, "9" * 64, DiskSlot.A, left)
    assert len(SoftwareState(origin, 10**9, running, "2026-11-21T12").encode()) <= most


@pytest.mark.parametrize("text", NAMES)
def test_no_field_of_the_clinics_figures_takes_a_name(text: str) -> None:
    place = SiteFigures(
        "chest-xray-child", "1.2.0", "m-" + "0" * 20, "pneumonia", LocalState.PROVISIONAL, 5000, 9, 8, 7, (), (), ()
    )
    for field in fields(SiteFigures):
        with pytest.raises(MessageInvalid):
            replace(place, **{field.name: text})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("axes", "band"),
    [
        ([], "none"),
        ([None], "unknown"),
        ([4.9], "<5"),
        ([5], "5-10"),
        ([None, 10], "10-20"),
        ([29.9], "20-30"),
        ([30], ">=30"),
    ],
)
def test_a_size_travels_as_a_band(axes: list[float | None], band: str) -> None:
    assert size_band(axes).value == band


def test_an_error_names_the_field_only() -> None:
    with pytest.raises(LanternError) as caught:
        replace(make_brief(case(), NOON), case="Wang")
    assert caught.value.details == {"field": "case"}
    assert Presence.name == "presence"
