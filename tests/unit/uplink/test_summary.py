"""Only what is on the list can be built, sent or accepted, and each message is written in one form."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_app.core import clock
from firmware_app.core.clock import Stamp
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
    ClinicFigures,
    DiskSlot,
    DriftWatch,
    LeftSlot,
    MeasureDrift,
    MeasureTrend,
    RunningSoftware,
    SiteDrift,
    SiteFigures,
    SlotLeftReason,
    SoftwareState,
    decode_up,
)
from firmware_app.uplink.messages.enrolment import EnrolAnswer, EnrolCall, EnrolRequest
from firmware_app.uplink.messages.envelope import BoxBundle, Enrolment, HospitalBundle, Provisioning, SignedProvisioning
from firmware_app.uplink.messages.message import MOST_BODY_BYTES, MOST_MESSAGE_BYTES, Message
from firmware_app.uplink.messages.summary import (
    MOST_FAULTS,
    MOST_PACKS,
    Brief,
    FindingBrief,
    Keys,
    Modality,
    Opinion,
    Origin,
    PackBrief,
    Presence,
    PresenceKind,
    Receipt,
    RefusedMessage,
    SizeBand,
    Summary,
    SummaryRuntime,
    TakenMessage,
    choose_size_band,
)
from firmware_app.uplink.outbox import make_brief, shorten_brief
from tests import line
from tests.unit.messages import BRIEFS, MESSAGES

NOON = Stamp(datetime(2026, 11, 21, 12, 34, tzinfo=UTC), trusted=True)
FIELDS: dict[type[Message], str] = {
    Origin: "box stream seq boot",
    FindingBrief: "code hundredths",
    Brief: "case revision modality pack pack_version runtime priority findings lesions size_band quality latency_ms"
    " verdict hour",
    Summary: "origin brief",
    Presence: "origin state beat version outgoing quarantined unread free_mb audit_head hour faults packs",
    PackBrief: "pack version",
    SiteFigures: "pack version machine finding state threshold read confirmed positives auc sensitivity specificity",
    ClinicFigures: "origin beat places hour",
    MeasureDrift: "measure first now psi state",
    SiteDrift: "pack version machine seen measures",
    DriftWatch: "origin beat place hour",
    LeftSlot: "slot version code parts",
    RunningSoftware: "machine version slot left",
    SoftwareState: "origin beat software hour",
    TakenMessage: "seq body",
    RefusedMessage: "seq body code",
    Receipt: "box stream taken refused at",
    Keys: "box serial seal",
    HospitalBundle: "verify seal serial host port authority",
    BoxBundle: "box verify tls proof",
    Enrolment: "box certificate",
    Provisioning: "box clinic language zone ae_title calling pacs_host pacs_port pacs_ae_title device hospital claim"
    " nonce made expires",
    SignedProvisioning: "content signature",
    EnrolRequest: "box nonce proof",
    EnrolAnswer: "request hospital enrolment proof",
    EnrolCall: "host port request",
}


def descendants(kind: type[Message]) -> set[type[Message]]:
    return set(kind.__subclasses__()).union(*(descendants(below) for below in kind.__subclasses__()))


def test_every_kind_of_message_has_these_fields_and_no_other() -> None:
    ours = {kind for kind in descendants(Message) if kind.__module__.startswith(("firmware_app.", "hospital."))}
    built = {
        kind for kind in ours if getattr(sys.modules[kind.__module__], kind.__name__) is kind
    }  # not its slotless twin
    assert {
        kind: " ".join(field.name for field in fields(kind)) for kind in built if hasattr(kind, "__dataclass_fields__")
    } == FIELDS


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
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
    "data", [b"[" * 16_000, b'{"message":NaN}', b"\xff", b'{"message":"summary","message":"summary"}']
)
def test_json_that_is_meant_to_hurt_is_refused(data: bytes) -> None:
    with pytest.raises(MessageInvalid):
        decode_up(data)


@settings(deadline=None)
@given(BRIEFS, st.data())
def test_a_field_too_many_or_too_few_is_refused(brief: Brief, data: st.DataObject) -> None:
    raw = {"message": "summary", **Summary(line.origin(), brief).to_object()}
    part: dict[str, Any] = data.draw(st.sampled_from([raw, raw["brief"], raw["origin"]]))
    name = data.draw(st.sampled_from(sorted(part)))
    part[f"{name}2"] = part[name]
    for _ in range(2):
        with pytest.raises(MessageInvalid):
            decode_up(json.dumps(raw, sort_keys=True, separators=(",", ":")).encode())
        part.pop(f"{name}2", None)
        part.pop(name, None)


@pytest.mark.parametrize(
    "other",
    [
        lambda said: said.replace(b",", b", ", 1),
        lambda said: b'{"message":"summary",' + said[1:],
        lambda said: said.replace(b'"ok"', b'"\\u006fk"'),
    ],
)
def test_one_message_has_one_form(other: Callable[[bytes], bytes]) -> None:
    said = line.summary().encode()
    assert decode_up(said) == line.summary()
    with pytest.raises(MessageInvalid):
        decode_up(other(said))


PLACE = SiteFigures(
    "chest-xray-child", "1.2.0", "m-" + "0" * 20, "pneumonia", LocalState.PROVISIONAL, 5000, 9, 8, 7, (), (), ()
)


@pytest.mark.parametrize("text", ["Wang Xiaoming", "王小明", "77Y", "1.2.840.113619.2.55", "M", "a\nb", "", "x" * 99])
@pytest.mark.parametrize("message", [line.brief(1), PLACE], ids=["brief", "figures"])
def test_no_field_takes_a_name_and_the_error_names_the_field_only(message: Brief | SiteFigures, text: str) -> None:
    for field in fields(type(message)):
        with pytest.raises(MessageInvalid) as caught:
            replace(message, **{field.name: text})  # type: ignore[arg-type]
        assert text == "" or text not in str(caught.value), "the error does not quote what it refuses"
        assert caught.value.details == {"field": field.name}


@pytest.mark.parametrize("hour", ["2026-11-21", "2026-11-21T03:15", "2026-11-21T24", "2026-02-31T03"])
def test_an_hour_is_an_hour(hour: str) -> None:
    with pytest.raises(MessageInvalid):
        line.brief(1, hour=hour)
    assert clock.format_trusted_hour(NOON) == "2026-11-21T12"


@pytest.mark.parametrize("hundredths", [-1, 101, 93.1, True])
def test_a_probability_has_two_decimals(hundredths: int) -> None:
    with pytest.raises(MessageInvalid):
        FindingBrief("tuberculosis", hundredths)


def test_numbers_are_written_in_ascii() -> None:
    for version in ("1.0.0", "١.٠.٠"):
        with nullcontext() if version.isascii() else pytest.raises(MessageInvalid):
            line.brief(1, pack_version=version)


# --- from a case to its brief ---------------------------------------------------------------------------------------


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
    assert make_brief(case(), NOON) == line.brief(
        0,
        Priority.URGENT,
        case="c-" + "a" * 20,
        revision=2,
        pack_version="1.2.0",
        findings=(FindingBrief("tuberculosis", 92),),
        lesions=1,
        size_band=SizeBand.FROM_10,
        quality="hint.one_frame",
        hour="2026-11-21T12",
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
    assert Summary(line.origin(), brief).encode()


def test_a_case_is_rounded_and_counted_within_bounds() -> None:
    findings = tuple(Finding(f"f{number}", {}, number / 100, 0.5) for number in (7, 28, 29, 57, 58))
    lesions = (Lesion("i-1", 0, (0, 0, 1, 1), 0.9, 1),) * 10_000
    brief = make_brief(case(findings=findings, lesions=lesions), NOON)
    assert {finding.code: finding.hundredths for finding in brief.findings} == {f"f{n}": n for n in (7, 28, 29, 57, 58)}
    assert brief.lesions == 9999


def test_a_name_in_the_modality_travels_as_other() -> None:
    assert make_brief(case(modality="WANGXIAOMING"), NOON).modality is Modality.OTHER


def test_without_a_clock_that_can_be_trusted_there_is_no_hour() -> None:
    assert make_brief(case(), replace(NOON, trusted=False)).hour is None


@pytest.mark.parametrize(
    ("axes", "band"), [([], "none"), ([None], "unknown"), ([4.9], "<5"), ([None, 10], "10-20"), ([30], ">=30")]
)
def test_a_size_travels_as_a_band(axes: list[float | None], band: str) -> None:
    assert choose_size_band(axes).value == band


def test_whatever_a_box_says_fits_the_one_length() -> None:
    origin, hour = Origin("b" * 40, "f" * 32, 2**53 - 1, "f" * 16), "2026-11-21T12"
    longest = Brief(
        case="c-" + "f" * 20,
        revision=10**6,
        modality=Modality.OTHER,
        pack="p" * 40,
        pack_version="9999.9999.9999",
        runtime=SummaryRuntime.ONNXRUNTIME,
        priority=Priority.CANNOT_JUDGE,
        findings=(FindingBrief("f" * 64, 100),) * 32,
        lesions=9999,
        size_band=SizeBand.UNKNOWN,
        quality=".".join(["q" * 24] * 3),
        latency_ms=10**9,
        verdict=Opinion.DISAGREE,
        hour=hour,
    )
    assert len(shorten_brief(longest).findings) == 14, "the likeliest are kept"
    presence = Presence(
        origin=origin,
        state=PresenceKind.HEALTH,
        beat=10**9,
        version="9999.9999.9999" + "a" * 20,
        outgoing=10**9,
        quarantined=10**9,
        unread=10**9,
        free_mb=10**9,
        audit_head="f" * 64,
        hour=hour,
        faults=("f" * 16 + "." + "f" * 32,) * MOST_FAULTS,
        packs=(PackBrief("p" * 40, "9999.9999.9999"),) * MOST_PACKS,
    )
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
    measure = MeasureDrift("refused_at_home", -(10**9), -(10**9), 9999, MeasureTrend.CHANGED)
    watched = SiteDrift("p" * 40, "9999.9999.9999", "m-" + "f" * 20, 10**9, (measure,) * MOST_MEASURES)
    left = LeftSlot(DiskSlot.B, "9" * 64, SlotLeftReason.UNSTARTED, ("p" * 24,) * MOST_SELF_TEST_PARTS)
    for message in (
        Summary(origin, shorten_brief(longest)),
        presence,
        ClinicFigures(origin, 10**9, (place,) * MOST_SITE_FIGURES, hour),
        DriftWatch(origin, 10**9, watched, hour),
        SoftwareState(origin, 10**9, RunningSoftware("m" * 40, "9" * 64, DiskSlot.A, left), hour),
    ):
        assert len(message.encode()) <= MOST_BODY_BYTES, message.name
