"""The flashed box, by `make test-image` after `make image`: its first start, a hard stop, and what it has kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from firmware_app.demo import samples
from tests.faults import flashed_box
from tests.faults.flashed_box import FlashedBox
from tests.peers import REPOSITORY, missing, need_root

pytestmark = [pytest.mark.image, pytest.mark.timeout(6 * 3600)]

BUILD = REPOSITORY / "build"


@pytest.fixture(scope="module")
def original() -> Path:
    need_root()
    found = sorted(BUILD.glob("lantern-[0-9]*.img"))
    if len(found) != 1:
        missing("needs build/lantern-VERSION.img; “make image” makes it")
    if not flashed_box.has_room(BUILD, 10):
        missing("needs 10 GB of disk in build/")
    return found[0]


@pytest.fixture(scope="module")
def work() -> Path:
    folder = BUILD / "image-test"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def disk(original: Path, work: Path) -> Path:
    return flashed_box.new_disk(original, work / "box.img")


def test_a_flashed_box_answers_keeps_and_reads_what_it_is_sent_and_comes_back_after_a_hard_stop(
    disk: Path, work: Path
) -> None:
    """On the firmware of a new PC at first and of an old one after the stop."""
    sent = samples.drawn()[:1]
    with FlashedBox(disk, work / "first.log", efi=True) as box:
        _report("first start until C-ECHO is answered, UEFI", box.answers_echo())
        samples.send(sent, box.dicom)
        box.cut()
    with FlashedBox(disk, work / "second.log") as box:
        _report("second start until C-ECHO is answered, BIOS", box.answers_echo())
        _report("second start until the slot is marked good", box.wait("slot A is good"))
        box.cut()
    readings = [json.loads(str(row["body"])) for row in flashed_box.kept(disk, work)]
    assert [reading["status"] for reading in readings] == ["read"]


def _report(what: str, seconds: float) -> None:
    print(f"{what}: {seconds:.0f} s", flush=True)
