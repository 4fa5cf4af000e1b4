"""The parts of the importer that need no stick: the kernel's table, the search, marks, receipts, words."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from firmware_app.appliance.checks import sticks
from firmware_app.cases import usb_import
from firmware_app.cases.usb_import import StickStage, StickStatus
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config, UsbSection
from firmware_app.core.state_dir import StateDir
from firmware_app.ingest import stick_files, stick_handover, stick_mounting, stick_receipt
from firmware_app.ingest.errors import STICK_NOT_ALL, STICK_PULLED, STICK_UNSAFE, StickNotMounted
from firmware_app.ingest.stick_copying import END_BYTES, CopiedMarks, compute_mark
from firmware_app.ingest.stick_files import StickFile
from tests.refusals import raises_refusal

SAFE = "ro,nosuid,nodev,noexec,relatime,nosymfollow"


def table(options: str, place: str = "/run/lantern/usb/sdb1/files") -> str:
    return (
        "22 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw\n"
        f"90 22 8:17 / {place} {options} shared:9 master:2 - vfat /dev/sdb1 ro,fmask=0222\n"
    )


def test_every_option_that_is_missing_is_named() -> None:
    place = Path("/run/lantern/usb/sdb1/files")
    assert stick_mounting.require_safe_mount(place, table(SAFE)).device == "8:17"
    for option in stick_mounting.NEEDED:
        options = ",".join(part for part in SAFE.split(",") if part != option)
        with raises_refusal(STICK_UNSAFE) as unsafe:
            stick_mounting.require_safe_mount(place, table(options))
        assert unsafe.value.missing == option
    with raises_refusal(STICK_UNSAFE):
        stick_mounting.require_safe_mount(place, table(SAFE, "/run/lantern/usb/sdb2/files"))


def test_a_mount_on_top_hides_the_safe_one_below() -> None:
    place = Path("/run/lantern/usb/sdb1/files")
    with raises_refusal(STICK_UNSAFE):
        stick_mounting.require_safe_mount(
            place, table(SAFE) + "91 90 0:44 / /run/lantern/usb/sdb1/files rw - tmpfs x rw\n"
        )


def test_a_place_with_a_blank_is_found() -> None:
    assert stick_mounting.find_mount(Path("/mnt/a stick"), table(SAFE, r"/mnt/a\040stick")) is not None


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine as Debian 12 has it: FAT is in use, modules for exFAT and CDs, nothing for NTFS; no FUSE daemon yet."""
    (tmp_path / "filesystems").write_text("nodev\tsysfs\n\tvfat\n", "ascii")
    modules = tmp_path / "modules" / os.uname().release
    modules.mkdir(parents=True)
    (modules / "modules.alias").write_text("alias fs-exfat exfat\nalias fs-iso9660 isofs\n", "ascii")
    (tmp_path / "bin").mkdir()
    (tmp_path / "fuse").touch()
    for name, path in {"_FILE_SYSTEMS": "filesystems", "_MODULES": "modules", "_FUSE": "fuse"}.items():
        monkeypatch.setattr(stick_mounting, name, tmp_path / path)
    monkeypatch.setitem(stick_mounting.TOOL_ENVIRONMENT, "PATH", str(tmp_path / "bin"))
    return tmp_path


def test_the_doctor_names_the_kinds_of_stick_this_machine_opens_and_the_package_for_the_others(machine: Path) -> None:
    config, state = Config(usb=UsbSection(enabled=True)), StateDir(machine / "state")
    there, absent = sticks.examine(config, state)
    assert (there.result, absent.result) == ("ok", "warn")
    assert there.reason.text("en").endswith("kinds: FAT32, exFAT, CD.")
    assert "kinds: NTFS." in absent.reason.text("en")
    assert "apt install ntfs-3g”" in absent.reason.text("en")
    (machine / "bin" / "ntfs-3g").touch(0o755)
    assert [check.result for check in sticks.examine(config, state)] == ["ok"]
    (machine / "fuse").unlink()  # a daemon without FUSE in the kernel is of no use
    assert [check.result for check in sticks.examine(config, state)] == ["ok", "warn"]
    assert list(sticks.examine(Config(), state)) == []


@pytest.mark.usefixtures("machine")
def test_the_doctor_tells_of_a_stick_of_which_not_all_came_in_until_a_person_has_read_it(tmp_path: Path) -> None:
    config, state = Config(usb=UsbSection(enabled=True)), StateDir(tmp_path / "state")
    state.prepare()
    reason = Reason.from_error(STICK_NOT_ALL(count=3))
    status = StickStatus(StickStage.UNFINISHED, "now", reason=reason)
    before = list(sticks.examine(config, state))
    usb_import.write_status(state, status)
    assert [check.reason for check in sticks.examine(config, state) if check not in before] == [reason]
    usb_import.write_status(state, replace(status, seen=True))
    assert list(sticks.examine(config, state)) == before


def test_the_search_ends_in_a_folder_without_bottom_and_among_files_without_number(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(stick_files.MOST_DEPTH + 3):
        deep = deep / "d"
        deep.mkdir()
        (deep / "f").write_bytes(b"x")
    listing = stick_files.search_stick(tmp_path)
    assert listing.overfull
    assert len(listing.files) == stick_files.MOST_DEPTH
    few = stick_files.search_stick(tmp_path, most=3)
    assert few.overfull
    assert len(few.files) == 3


def test_what_systems_hide_and_what_is_no_file_is_counted_and_not_opened(tmp_path: Path) -> None:
    (tmp_path / "System Volume Information").mkdir()
    (tmp_path / "System Volume Information" / "x").write_bytes(b"x")
    (tmp_path / "._I1").write_bytes(b"x")
    (tmp_path / "link").symlink_to("/etc")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "I1").write_bytes(b"x")
    listing = stick_files.search_stick(tmp_path)
    assert [file.parts for file in listing.files] == [("I1",)]
    assert (listing.others, listing.hidden) == (2, 2)


def test_a_stick_that_is_gone_is_not_an_empty_one(tmp_path: Path) -> None:
    with raises_refusal(STICK_PULLED):
        stick_files.search_stick(tmp_path / "gone")
    assert not stick_files.is_there(tmp_path / "gone", "7:0")
    assert not stick_files.is_there(tmp_path, "999:999")


def find_mark(path: Path, at: int = 0) -> str:
    data = path.read_bytes()
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return compute_mark(StickFile(path, (path.name,), len(data), at), descriptor, len(data), data[:END_BYTES])
    finally:
        os.close(descriptor)


def test_a_file_of_the_same_name_size_and_day_is_another_when_it_begins_or_ends_otherwise(tmp_path: Path) -> None:
    path, seen = tmp_path / "IM000001", set()
    for data in (b"a" * 200_000, b"b" + b"a" * 199_999, b"a" * 199_999 + b"b"):
        path.write_bytes(data)
        seen.add(find_mark(path))
    assert len(seen) == 3
    assert find_mark(path, 1) != find_mark(path, 2)


def test_marks_are_remembered_for_as_long_as_the_box_has_the_image(tmp_path: Path) -> None:
    kept = {"i-1", "i-2"}
    memory = CopiedMarks(tmp_path / "marks", kept.__contains__)
    for number in (1, 2):
        memory.add(f"{number:032x}", f"i-{number}")
    with (tmp_path / "marks").open("a") as handle:
        handle.write("half a li")
    again = CopiedMarks(tmp_path / "marks", kept.__contains__)
    assert [again.find_instance(f"{number:032x}") for number in (1, 2, 3)] == ["i-1", "i-2", None]
    kept.discard("i-1")
    assert again.find_instance(f"{1:032x}") is None


def test_the_memory_has_an_end(tmp_path: Path) -> None:
    path = tmp_path / "marks"
    path.write_text("".join(f"{number:032x} i-{number:020x}\n" for number in range(1000)), "ascii")
    memory = CopiedMarks(path, lambda _: True, most=100)
    assert memory.find_instance(f"{999:032x}") == f"i-{999:020x}"
    assert memory.find_instance(f"{0:032x}") is None
    assert len(path.read_text("ascii").splitlines()) == 100


def test_a_receipt_counts_and_names_nobody(tmp_path: Path) -> None:
    status = StickStatus(
        StickStage.UNFINISHED,
        "2026-11-21T10:00:00+00:00?",
        "vfat",
        17,
        17,
        6,
        3,
        {"intake.archive": 1, "intake.truncated": 5, "intake.pixel_length": 2},
        0,
        Reason.from_error(STICK_NOT_ALL(count=8)),
        "2026-11-21T10:01:00+00:00?",
    )
    text = stick_receipt.format_receipt(status, "Clinic", {"c-1": True, "c-2": False}, "en")
    for wanted in (
        "Images copied and safe: 6",
        "Files damaged or refused: 8",
        "  Damaged images, which end too early: 7. Copy them again from the machine.\n  Packed archives, which the box",
        "can be taken out, but not everything came in. Files damaged or refused: 8;",
        "c-1  (incomplete)",
        "  c-2\n",
    ):
        assert wanted in text
    assert [stick_receipt.write_receipt(tmp_path, text) for _ in range(3)] == [1, 2, 3]
    assert (tmp_path / "000003.txt").read_text("utf-8") == text


def test_only_so_many_receipts_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stick_receipt, "MOST_RECEIPTS", 3)
    for _ in range(5):
        stick_receipt.write_receipt(tmp_path, "x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000003.txt", "000004.txt", "000005.txt"]


def test_the_status_comes_back_as_it_was_said(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    state.prepare()
    assert usb_import.read_status(state) is None
    status = StickStatus(StickStage.REFUSED, "now", reason=Reason("stick.blank"), refused={"a": 1})
    usb_import.write_status(state, status)
    assert usb_import.read_status(state) == status
    (state.run / "import.json").write_text('{"stage": "of a later version"}')
    assert usb_import.read_status(state) is None


def test_the_folder_is_handed_over_with_its_word_and_unsafe_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "I1").write_bytes(b"x")
    stop = threading.Event()
    ready = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        word = stick_handover.MountMessage("vfat", "8:17", Reason("stick.mount", {"detail": "x"}))
        threads.submit(stick_handover.offer_stick, tmp_path, word, tmp_path / "files", stop, ready.set)
        try:
            assert ready.wait(10)
            with stick_handover.receive_stick(tmp_path) as handed:
                assert handed.word == word
                assert [file.parts for file in stick_files.search_stick(handed.place).files] == [("I1",)]
                with raises_refusal(STICK_UNSAFE) as unsafe:
                    handed.require_safe()
                assert "nosymfollow" in unsafe.value.missing
        finally:
            stop.set()
    with pytest.raises(StickNotMounted), stick_handover.receive_stick(tmp_path):
        pass


@pytest.mark.parametrize("name", ["../etc", "", "sdb1/..", "-x", "s" * 40, "SDB"])
def test_only_a_kernels_name_is_a_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(StickNotMounted):
        stick_handover.find_socket_folder(tmp_path, name)
