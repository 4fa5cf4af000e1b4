"""Which boxes get a version of the software, and why one is not taken: rings, order of versions, what was left."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware_app.appliance.errors import SOFTWARE_FOR_ANOTHER_MACHINE, SOFTWARE_NOT_OFFERED, SoftwareError
from firmware_app.appliance.software_bundle import InstalledSystem, SoftwareBundle, judge_bundle, sort_versions
from firmware_app.appliance.software_channel import UpdateRequest, choose_offer
from firmware_app.appliance.software_offers import (
    Ring,
    SoftwareIndex,
    SoftwareOffer,
    compute_rollout_place,
    hide_box_id,
)
from tests.refusals import raises_refusal

BOX = InstalledSystem("lantern-x86_64", "0.3.0", "A")
BOXES = [f"clinic-{number}" for number in range(2000)]


def later(version: str, than: str) -> bool:
    """Debian's order, for the plain versions of these tests."""
    return [int(part) for part in version.split(".")] > [int(part) for part in than.split(".")]


def offer(version: str, percent: int = 100, *boxes: str, machine: str = "lantern-x86_64") -> SoftwareOffer:
    return SoftwareOffer(
        version=version,
        machine=machine,
        file=f"lantern-{version}.raucb",
        sha256="0" * 64,
        bytes=9,
        ring=Ring(boxes=boxes, percent=percent),
    )


def answer(*offers: SoftwareOffer, left: frozenset[str] = frozenset(), **wish: object) -> tuple[str, str | None]:
    """The version that is chosen, and the code of why it is not installed."""
    asked = UpdateRequest("/stick", **wish)  # type: ignore[arg-type]
    found, refusal = choose_offer(SoftwareIndex(software=offers), BOX, "clinic-7", left, asked, later)
    return found.version, refusal.code if refusal else None


def test_a_ring_of_five_percent_is_a_twentieth_of_the_boxes_and_stays_within_the_next_ring() -> None:
    small = {box for box in BOXES if Ring(percent=5).includes("0.4.0", box)}
    assert 60 <= len(small) <= 140
    assert small <= {box for box in BOXES if Ring(percent=20).includes("0.4.0", box)}
    assert all(Ring(percent=100).includes("0.4.0", box) for box in BOXES)
    assert not any(Ring().includes("0.4.0", box) for box in BOXES)


def test_it_is_not_always_the_same_boxes_that_go_first() -> None:
    first, second = ({box for box in BOXES if Ring(percent=5).includes(version, box)} for version in ("0.4.0", "0.5.0"))
    assert len(first & second) < len(first) / 3


def test_the_place_of_a_box_never_changes_from_one_version_of_this_code_to_the_next() -> None:
    assert round(compute_rollout_place("0.4.0", "clinic-7"), 4) == 98.377
    assert hide_box_id("0.4.0", "clinic-7").startswith("sha256:fbd860c1")


def test_a_named_box_is_in_the_ring_by_its_id_or_by_its_hash() -> None:
    assert Ring(boxes=("clinic-7",)).includes("0.4.0", "clinic-7")
    assert Ring(boxes=(hide_box_id("0.4.0", "clinic-7"),)).includes("0.4.0", "clinic-7")
    assert not Ring(boxes=(hide_box_id("0.4.0", "clinic-7"),)).includes("0.5.0", "clinic-7"), "of that version alone"
    assert not Ring(boxes=("clinic-7",)).includes("0.4.0", "clinic-8")


def test_the_latest_version_whose_ring_has_the_box_is_taken() -> None:
    assert answer(offer("0.4.0"), offer("0.5.0", 0, "clinic-1")) == ("0.4.0", None)
    assert answer(offer("0.4.0"), offer("0.5.0", 0, "clinic-7")) == ("0.5.0", None)
    assert answer(offer("0.4.0"), offer("0.10.0")) == ("0.10.0", None)


def test_a_box_outside_the_ring_waits_and_an_older_or_the_same_version_is_no_update() -> None:
    assert answer(offer("0.4.0", 0, "clinic-1")) == ("0.4.0", "software.waits")
    assert answer(offer("0.2.0")) == ("0.2.0", "software.older")
    assert answer(offer("0.3.0")) == ("0.3.0", "software.current")


def test_a_version_that_was_left_comes_again_only_when_a_person_says_so() -> None:
    left = frozenset({"0.4.0"})
    assert answer(offer("0.4.0"), left=left) == ("0.4.0", "software.left")
    assert answer(offer("0.4.0"), left=left, again=True) == ("0.4.0", None)
    assert answer(offer("0.4.0"), offer("0.5.0"), left=left) == ("0.5.0", None), "a later one is taken as usual"


def test_what_is_for_another_kind_of_machine_is_not_offered() -> None:
    with raises_refusal(SOFTWARE_NOT_OFFERED, match=r"0\.4\.0 \(lantern-aarch64\)"):
        answer(offer("0.4.0", machine="lantern-aarch64"))


def test_a_file_for_another_machine_is_refused_before_its_version_is_looked_at() -> None:
    with raises_refusal(SOFTWARE_FOR_ANOTHER_MACHINE):
        judge_bundle(SoftwareBundle(Path("lantern-0.4.0.raucb"), "0.4.0", "lantern-aarch64"), BOX, ())
    with pytest.raises(SoftwareError, match=r"software\.current"):
        judge_bundle(SoftwareBundle(Path("lantern-0.3.0.raucb"), "0.3.0", "lantern-x86_64"), BOX, ())


def test_versions_are_sorted_as_debian_does() -> None:
    assert sort_versions(["0.9.0", "0.10.0", "0.4.0"], later) == ["0.10.0", "0.9.0", "0.4.0"]
