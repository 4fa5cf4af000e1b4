"""When a case from a stick is incomplete, and the only thing that makes it whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.usb_import import SOURCE, UsbImports
from firmware_app.core.records import Header, Instance, PackIdentity, Priority, Reading, ReadingStatus, Scope, Timing
from tests.objects import DX, EXPLICIT


@dataclass
class Room:
    clinical: ClinicalDatabase
    media: UsbImports

    def association(self, source: str = SOURCE) -> int:
        return self.clinical.open_association(source)

    def image(self, number: int, study: str, association: int) -> Instance:
        header = Header(DX, f"1.2.{number}", study, f"{study}.1", EXPLICIT, modality="DX")
        sha256 = f"{number:064x}"
        made = self.clinical.admit(
            path="usb/x",
            file=f"images/{sha256[:2]}/{sha256}.dcm",
            sha256=sha256,
            size=1,
            header=header,
            association=association,
        )
        assert isinstance(made, Instance)
        return made

    def marked(self) -> set[str | None]:
        return {case.study_instance_uid for case in self.clinical.load_cases() if case.incomplete}

    def settle(self) -> dict[str, int]:
        """Everything is read and comes to rest; the revisions that closed."""
        while claim := self.clinical.claim():
            pack = PackIdentity("chest", "1.0.0", "onnxruntime", "int8")
            reading = Reading(
                Scope.INSTANCE, (claim.instance.reference,), ReadingStatus.READ, None, pack, Timing(1, 1, 2)
            )
            self.clinical.finish(claim.instance, reading, Priority.ROUTINE)
        closed = self.clinical.close_revisions(0.0)
        return {case: self.clinical.load_case(case).revision for case in closed}


@pytest.fixture
def room(tmp_path: Path) -> Room:
    clinical = ClinicalDatabase(tmp_path / "clinical" / "clinical.db")
    clinical.create()
    return Room(clinical, UsbImports(clinical.database))


def test_what_comes_on_a_stick_is_incomplete_from_its_first_image_on(room: Room) -> None:
    room.image(1, "1.1", room.association())
    room.image(2, "1.2", room.association("dicom:CT"))
    assert room.marked() == {"1.1"}


def test_closing_the_import_does_not_make_a_case_whole(room: Room) -> None:
    association = room.association()
    room.image(1, "1.1", association)
    room.clinical.close_association(association)
    room.clinical.close_all_associations()
    assert room.marked() == {"1.1"}


def test_a_whole_pass_that_saw_every_image_of_an_earlier_import_makes_it_whole(room: Room) -> None:
    first, second = room.association(), room.association()
    old = [room.image(1, "1.1", first), room.image(2, "1.1", first)]
    new = room.image(3, "1.1", second)
    room.media.record_whole_stick([old[0].reference, new.reference], {})
    assert room.marked() == {"1.1"}  # one of the first import's images was not on this stick
    room.media.record_whole_stick([one.reference for one in (*old, new)], {})
    assert room.marked() == set()


def test_another_stick_makes_no_case_whole_that_it_does_not_hold(room: Room) -> None:
    room.image(1, "1.1", room.association())
    other = room.image(2, "1.2", room.association())
    room.media.record_whole_stick([other.reference], {})
    assert room.marked() == {"1.1"}


def test_a_case_that_becomes_whole_gets_another_revision_and_no_other_does(room: Room) -> None:
    pulled, network = room.association(), room.association("dicom:CT")
    image = room.image(1, "1.1", pulled)
    other = room.image(2, "1.2", network)
    for association in (pulled, network):
        room.clinical.close_association(association)
    assert room.settle() == {image.case: 1, other.case: 1}
    room.media.record_whole_stick([image.reference, other.reference], {})
    assert room.settle() == {image.case: 2}


def test_a_list_that_names_more_marks_its_case_until_they_come(room: Room) -> None:
    image = room.image(1, "1.1", room.association())
    room.media.record_whole_stick([image.reference], {"1.1": 3, "9.9": 2})
    reason = room.clinical.load_case(image.case).incomplete
    assert reason is not None
    assert (reason.code, reason.details) == ("stick.listed_more", {"count": 3})
    assert "3" in reason.text("en")
    room.media.record_whole_stick([image.reference], {})
    assert room.marked() == set()


def test_the_mark_stands_before_every_hint_of_every_reading(room: Room) -> None:
    image = room.image(1, "1.1", room.association())
    room.settle()
    (reading,) = room.clinical.load_case(image.case).readings
    assert [hint.code for hint in reading.quality.hints] == ["stick.incomplete"]


def test_a_lost_row_marks_too_much_and_never_too_little(room: Room) -> None:
    image = room.image(1, "1.1", room.association())
    room.media.record_whole_stick([image.reference], {})
    assert room.marked() == set()
    room.clinical.database.connection.execute("DELETE FROM whole")
    assert room.marked() == {"1.1"}


def test_cases_are_told_with_their_mark(room: Room) -> None:
    first, second = room.association(), room.association()
    images = [room.image(1, "1.1", first), room.image(2, "1.2", second)]
    room.media.record_whole_stick([images[1].reference], {})
    cases = room.media.list_cases([image.reference for image in images] + ["i-" + "0" * 20])
    assert cases == {images[0].case: True, images[1].case: False}
