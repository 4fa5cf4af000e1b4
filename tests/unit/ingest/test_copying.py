"""One pass over a folder as over a stick: what ends it early, and that nothing ended early is called whole."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.usb_import import StickStage, StickStatus
from firmware_app.core import database_health
from firmware_app.core.records import Reason
from firmware_app.core.state_dir import StateDir
from firmware_app.ingest.intake import ImageIntake
from firmware_app.ingest.stick_copying import CopiedMarks, StickCopier
from firmware_app.ingest.stick_handover import MountMessage
from tests.objects import file_of, film, new_uid
from tests.peers import pydicom_file
from tests.unit.ingest.test_dicomdir import dicomdir, record


@dataclass
class Bench:
    """A folder that stands for a stick, and a box."""

    root: Path
    state: StateDir
    clinical: ClinicalDatabase

    def put(self, name: str, study: str = "1.2.3") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sop = new_uid()
        path.write_bytes(file_of(film(sop_instance=sop, study=study), sop_instance=sop))
        return path

    def copy(
        self,
        during: Callable[[StickStatus], None] = lambda _: None,
        stop: threading.Event | None = None,
        reserve_mb: int = 1,
    ) -> StickStatus:
        door = ImageIntake(self.state, self.clinical, reserve_mb, 4)
        marks = CopiedMarks(self.state.usb / "marks", self.clinical.has_instance)
        device = "{}:{}".format(*_number(self.root))
        return StickCopier(self.root, MountMessage("", device), door, marks, during, stop or threading.Event()).run(
            StickStatus(StickStage.SEARCHING, "now")
        )

    def marked(self) -> list[bool]:
        return [case.incomplete is not None for case in self.clinical.load_cases()]


def _number(path: Path) -> tuple[int, int]:
    """A block device that is there: the first of /sys/dev/block."""
    first = min(Path("/sys/dev/block").iterdir())
    major, minor = first.name.split(":")
    return int(major), int(minor)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    state = StateDir(tmp_path / "state")
    state.prepare()
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.create()
    root = tmp_path / "stick"
    root.mkdir()
    yield Bench(root, state, clinical)
    clinical.database.close()


def test_a_whole_pass_leaves_whole_cases(bench: Bench) -> None:
    for name in ("a", "b/c", "b/d/e"):
        bench.put(name)
    ended = bench.copy()
    assert (ended.stage, ended.found, ended.looked, ended.new) == (StickStage.DONE, 3, 3, 3)
    assert bench.marked() == [False]


def test_a_file_that_cannot_be_read_leaves_its_cases_incomplete_until_it_can(bench: Bench) -> None:
    bench.put("a")
    gone = bench.put("b")
    data = gone.read_bytes()

    def lose(status: StickStatus) -> None:
        if status.stage is StickStage.COPYING:
            gone.unlink(missing_ok=True)

    ended = bench.copy(lose)
    assert ended.reason is not None
    assert (ended.stage, ended.reason.code, ended.reason.details) == (
        StickStage.UNFINISHED,
        "stick.not_all",
        {"count": 1},
    )
    assert bench.marked() == [True]
    gone.write_bytes(data)
    ended = bench.copy()
    assert (ended.stage, ended.new, ended.known) == (StickStage.DONE, 1, 1)
    assert bench.marked() == [False]


def test_a_word_to_stop_is_heard_between_two_files(bench: Bench) -> None:
    for number in range(5):
        bench.put(str(number))
    stop = threading.Event()

    def after_the_first(status: StickStatus) -> None:
        if status.looked == 1:
            stop.set()

    ended = bench.copy(after_the_first, stop)
    assert (ended.stage, ended.reason and ended.reason.code) == (StickStage.UNFINISHED, "stick.stopped")
    assert 1 <= ended.new < 5
    assert bench.marked() == [True]


def test_a_full_disk_ends_the_pass_with_its_own_reason(bench: Bench) -> None:
    bench.put("a")
    ended = bench.copy(reserve_mb=10**9)
    assert (ended.stage, ended.reason and ended.reason.code) == (StickStage.UNFINISHED, "intake.space_short")
    assert bench.clinical.count_queue().instances == 0


def test_a_damaged_database_is_let_go_of(bench: Bench) -> None:
    bench.put("a")
    bench.put("b")

    def stumble(status: StickStatus) -> None:
        if status.looked == 1:
            database_health.write_damage_note(bench.state.clinical_db)

    ended = bench.copy(stumble)
    assert (ended.stage, ended.reason and ended.reason.code) == (StickStage.UNFINISHED, "stick.stopped")
    database_health.remove_damage_note(bench.state.clinical_db)


def test_what_is_passed_by_is_not_missed(bench: Bench) -> None:
    bench.put("a")
    (bench.root / "link").symlink_to("a")
    (bench.root / ".b").write_bytes(b"x")
    ended = bench.copy()
    assert (ended.stage, ended.passed_by) == (StickStage.DONE, 2)


def test_an_image_of_which_only_the_name_is_left_is_missed_and_said_to_be_empty(bench: Bench) -> None:
    """By its suffix, or because it is named as those beside it."""
    bench.put("IM0001")
    bench.put("1.2.840.3")
    for name, content in {"im0002": b"", "c.dcm": bytes(40_000), "1.2.840.4": b"", "f.png": b""}.items():
        (bench.root / name).write_bytes(content)
    ended = bench.copy()
    assert (ended.new, ended.passed_by, dict(ended.refused)) == (2, 1, {"intake.empty": 2, "intake.zeros": 1})
    assert (ended.stage, ended.reason and ended.reason.details) == (StickStage.UNFINISHED, {"count": 3})
    assert bench.marked() == [True]
    for name in ("im0002", "c.dcm", "1.2.840.4"):
        bench.put(name)
    ended = bench.copy()
    assert (ended.stage, ended.new, ended.known, dict(ended.refused)) == (StickStage.DONE, 3, 2, {})
    assert bench.marked() == [False]


def test_empty_files_that_are_marks_of_cameras_and_of_systems_are_no_images(bench: Bench) -> None:
    """And the label of a stick, which fusefat shows as one."""
    bench.put("IM0001")
    marks = ("STICK", "notes.txt", "IndexerVolumeGuid", "TEST.MRK", "log.1", "VERSION")
    for name in marks:
        (bench.root / name).write_bytes(b"")
    (bench.root / "BALLAST").write_bytes(bytes(100_000))
    ended = bench.copy()
    assert (ended.stage, ended.new, ended.passed_by, dict(ended.refused)) == (StickStage.DONE, 1, len(marks) + 1, {})
    assert bench.marked() == [False]


def test_a_packed_archive_may_hold_the_missing_images(bench: Bench) -> None:
    bench.put("a")
    (bench.root / "b.zip").write_bytes(b"PK\3\4" + bytes(100))
    ended = bench.copy()
    assert (ended.stage, ended.new, dict(ended.refused)) == (StickStage.UNFINISHED, 1, {"intake.archive": 1})
    assert bench.marked() == [True]
    (bench.root / "b.zip").rename(bench.root / "viewer.jar")
    ended = bench.copy()
    assert (ended.stage, ended.known, dict(ended.refused)) == (StickStage.DONE, 1, {})
    assert bench.marked() == [False]


def without_its_end(data: bytes) -> bytes:
    """As long as it was, and its last tenth erased."""
    return data[: -(len(data) // 10)] + bytes(len(data) // 10)


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda _: without_its_end(pydicom_file("JPEG-lossy.dcm").read_bytes()), "intake.malformed"),
        (lambda data: data.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0"), "intake.transfer_syntax"),
        (lambda data: data[:-20], "intake.truncated"),
        (lambda data: random.Random(1).randbytes(len(data)), "intake.garbled"),
    ],
)
def test_a_stick_of_which_every_image_is_damaged_or_refused_is_not_done(
    bench: Bench, spoil: Callable[[bytes], bytes], code: str
) -> None:
    for number in range(3):
        path = bench.put(f"{number}.dcm")
        path.write_bytes(spoil(path.read_bytes()))
    ended = bench.copy()
    assert (ended.stage, ended.new, dict(ended.refused)) == (StickStage.UNFINISHED, 0, {code: 3})
    assert ended.reason is not None
    assert (ended.reason.code, ended.reason.details) == ("stick.not_all", {"count": 3})


@pytest.mark.parametrize("form", ["B/I{:07d}", "B/1.2.840.{}", "DICOM/A long name {}"])
def test_a_folder_of_images_that_are_all_garbage_is_not_done_though_nothing_but_their_names_tells(
    bench: Bench, form: str
) -> None:
    bench.put("A/film")
    random_bytes = random.Random(5).randbytes
    for number in range(3):
        bench.put(form.format(number)).write_bytes(random_bytes(4000))
    ended = bench.copy()
    assert (ended.stage, dict(ended.refused)) == (StickStage.UNFINISHED, {"intake.garbled": 3})


def test_a_stick_with_other_files_alone_is_said_to_hold_no_image(bench: Bench) -> None:
    (bench.root / "letter.txt").write_text("hello")
    ended = bench.copy()
    assert (ended.stage, ended.reason) == (StickStage.EMPTY, Reason("stick.empty", {"count": 1}))


def test_a_stick_without_any_image_but_with_files_of_an_unknown_kind_is_not_done(bench: Bench) -> None:
    (bench.root / "letter.txt").write_text("hello")
    for number in range(3):
        (bench.root / f"scan-of-monday-{number}").write_bytes(random.Random(6).randbytes(4000))
    ended = bench.copy()
    assert (ended.stage, ended.passed_by, dict(ended.refused)) == (StickStage.UNFINISHED, 4, {})
    assert ended.reason is not None
    assert (ended.reason.code, ended.reason.details) == ("stick.nothing_known", {"count": 3})


def test_a_mark_of_an_earlier_pass_is_not_lifted_by_one_that_had_refusals(bench: Bench) -> None:
    bench.put("a")
    (bench.root / "c.dcm").write_bytes(b"")
    assert bench.copy().stage is StickStage.UNFINISHED
    (bench.root / "c.dcm").unlink()
    refused = bench.root / "b"
    whole = pydicom_file("JPEG-lossy.dcm").read_bytes()
    refused.write_bytes(without_its_end(whole))
    assert dict(bench.copy().refused) == {"intake.malformed": 1}
    assert bench.marked() == [True]
    refused.write_bytes(whole)
    ended = bench.copy()
    assert (ended.stage, ended.new, ended.known) == (StickStage.DONE, 1, 1)
    assert bench.marked() == [False, False]


def test_what_is_named_listed_or_placed_as_an_image_and_is_none_is_missed(bench: Bench) -> None:
    garbage = random.Random(2).randbytes(5000)
    bench.put("EXAM/IM000001")
    bench.put("EXAM/3F7A")
    missed = ("A.DCM", "b.Dicom", "LISTED.BIN", "OTHER/IM000007", "EXAM/77E0")
    for name in missed:
        (bench.root / name).parent.mkdir(exist_ok=True)
        (bench.root / name).write_bytes(garbage)
    (bench.root / "DICOMDIR").write_bytes(dicomdir(record("IMAGE", file="LISTED.BIN")))
    ended = bench.copy()
    assert (ended.stage, ended.new, ended.passed_by) == (StickStage.UNFINISHED, 2, 1)
    assert dict(ended.refused) == {"intake.garbled": len(missed)}
    journalled = bench.clinical.database.connection.execute("SELECT path FROM arrivals WHERE outcome = 'refused'")
    assert {row[0] for row in journalled} == {f"usb/{name}" for name in missed}


def test_what_usually_lies_beside_images_is_no_damage(bench: Bench) -> None:
    """In the images' own folder, too."""
    binary = random.Random(3).randbytes(3000)
    bench.put("IM0001")
    beside = {
        "autorun.inf": b"[autorun]\r\nopen=viewer.exe\r\n",
        "VIEWER.EXE": b"MZ" + binary,
        "Thumbs.db": binary,
        "README": "请先阅读".encode("gb18030"),
        "VERSION": b"1.0\n",
        "report.pdf": b"%PDF-1.4\n" + binary,
        "lib/help.jar": b"PK\3\4" + binary,
        "lib/libviewer": binary,
        "NOTES": "说明".encode("utf-16"),
        "DICOMDIR": random.Random(4).randbytes(800),
        "IM0001.xml": b"<a/>",
        "logo.jpg": b"\xff\xd8\xff\xe0" + binary,
    }
    (bench.root / "lib").mkdir()
    for name, content in beside.items():
        (bench.root / name).write_bytes(content)
    ended = bench.copy()
    assert (ended.stage, ended.new, ended.passed_by, dict(ended.refused)) == (StickStage.DONE, 1, len(beside), {})
    assert bench.marked() == [False]


def test_pictures_are_taken_where_there_is_no_dicom_and_left_where_there_is(bench: Bench) -> None:
    Image.new("L", (64, 64), 7).save(bench.root / "film.png")
    (bench.root / "readme.txt").write_text("x")
    ended = bench.copy()
    assert (ended.new, ended.passed_by) == (1, 1)
    assert bench.copy().known == 1
    Image.new("L", (64, 64), 9).save(bench.root / "button.png")
    bench.put("z")
    ended = bench.copy()
    assert (ended.stage, ended.new, ended.passed_by) == (StickStage.DONE, 1, 3)
