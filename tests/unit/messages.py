"""Any message that can be built, for hypothesis."""

from __future__ import annotations

from datetime import datetime

from hypothesis import strategies as st

from firmware_app.core.records import LocalState, Priority
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
)
from firmware_app.uplink.messages.summary import (
    MOST_FAULTS,
    MOST_PACKS,
    MOST_SEQ,
    Brief,
    FindingBrief,
    Modality,
    Opinion,
    Origin,
    PackBrief,
    Presence,
    PresenceKind,
    SizeBand,
    Summary,
    SummaryRuntime,
)


def _digits(count: int) -> st.SearchStrategy[str]:
    return st.text("0123456789abcdef", min_size=count, max_size=count)


BOXES = st.from_regex(r"[a-z0-9][a-z0-9-]{0,39}", fullmatch=True)
CASES = _digits(20).map(lambda digits: f"c-{digits}")
HOURS = st.none() | st.datetimes(min_value=datetime(2024, 1, 1), max_value=datetime(2099, 12, 31)).map(
    lambda moment: moment.strftime("%Y-%m-%dT%H")
)
REVISIONS = st.integers(1, 10**6)
ORIGINS = st.builds(Origin, BOXES, _digits(32), st.integers(1, MOST_SEQ), _digits(16))
FINDINGS = st.builds(FindingBrief, st.from_regex(r"[a-z][a-z0-9_]{0,63}", fullmatch=True), st.integers(0, 100))
BRIEFS = st.builds(
    Brief,
    case=CASES,
    revision=REVISIONS,
    modality=st.sampled_from(Modality),
    pack=st.none() | BOXES,
    pack_version=st.none() | st.just("1.20.3"),
    runtime=st.none() | st.sampled_from(SummaryRuntime),
    priority=st.sampled_from(Priority),
    findings=st.lists(FINDINGS, max_size=32).map(tuple),
    lesions=st.integers(0, 9999),
    size_band=st.sampled_from(SizeBand),
    quality=st.sampled_from(["ok", "age.unknown", "hint.one_frame", "other"]),
    latency_ms=st.integers(0, 10**9),
    verdict=st.sampled_from(Opinion),
    hour=HOURS,
)
SUMMARIES = st.builds(Summary, ORIGINS, BRIEFS)
FAULTS = st.from_regex(r"[a-z][a-z0-9_-]{0,15}\.[a-z][a-z0-9_-]{0,31}", fullmatch=True)
COUNTS = st.integers(0, 10**9)
PRESENCES = st.builds(
    Presence,
    ORIGINS,
    st.sampled_from(PresenceKind),
    COUNTS,
    st.just("0.1.0"),
    COUNTS,
    COUNTS,
    st.none() | COUNTS,
    COUNTS,
    st.none() | _digits(64),
    HOURS,
    st.lists(FAULTS, max_size=MOST_FAULTS).map(tuple),
    st.lists(st.builds(PackBrief, BOXES, st.just("1.20.3")), max_size=MOST_PACKS).map(tuple),
)
ESTIMATES = st.lists(st.integers(0, 100), max_size=3).map(tuple)
PLACES = st.builds(
    SiteFigures,
    BOXES,
    st.just("1.20.3"),
    _digits(20).map(lambda digits: f"m-{digits}"),
    st.from_regex(r"[a-z][a-z0-9_]{0,63}", fullmatch=True),
    st.sampled_from(LocalState),
    st.integers(0, 10_000),
    COUNTS,
    COUNTS,
    COUNTS,
    ESTIMATES,
    ESTIMATES,
    ESTIMATES,
)
FIGURES = st.builds(ClinicFigures, ORIGINS, COUNTS, st.lists(PLACES, max_size=MOST_SITE_FIGURES).map(tuple), HOURS)
NUMBERS = st.integers(-(10**9), 10**9)
MEASURES = st.builds(
    MeasureDrift,
    st.sampled_from(["called", "refused_at_home", "pale"]),
    NUMBERS,
    NUMBERS,
    st.integers(0, 9999),
    st.sampled_from(MeasureTrend),
)
WATCHES = st.builds(
    DriftWatch,
    ORIGINS,
    COUNTS,
    st.builds(
        SiteDrift,
        BOXES,
        st.just("1.20.3"),
        _digits(20).map(lambda digits: f"m-{digits}"),
        COUNTS,
        st.lists(MEASURES, max_size=MOST_MEASURES).map(tuple),
    ),
    HOURS,
)
VERSIONS = st.from_regex(r"[0-9][A-Za-z0-9.+~-]{0,63}", fullmatch=True)
LEFT = st.builds(
    LeftSlot,
    st.sampled_from(DiskSlot),
    st.none() | VERSIONS,
    st.sampled_from(SlotLeftReason),
    st.lists(st.sampled_from(["packs", "gateway", "databases"]), max_size=MOST_SELF_TEST_PARTS).map(tuple),
)
SOFTWARE = st.builds(
    SoftwareState,
    ORIGINS,
    COUNTS,
    st.builds(
        RunningSoftware,
        st.none() | st.just("lantern-x86_64"),
        VERSIONS,
        st.none() | st.sampled_from(DiskSlot),
        st.none() | LEFT,
    ),
    HOURS,
)
MESSAGES = SUMMARIES | PRESENCES | FIGURES | WATCHES | SOFTWARE
