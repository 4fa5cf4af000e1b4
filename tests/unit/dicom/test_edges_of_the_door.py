"""The edges of what the door measures, one byte on either side, and that no way through it leaves half a file."""

from __future__ import annotations

import errno
import io
import logging
import os
from collections.abc import Callable
from pathlib import Path
from struct import pack

import pytest
from PIL import Image

from firmware_app.cases.errors import NOT_A_REGULAR_FILE, FileUnreadable, InstanceConflict
from firmware_app.dicom.element_stream import DEPTH_LIMIT
from firmware_app.dicom.errors import (
    IntakeError,
    NestedTooDeep,
    ObjectTooLarge,
    PixelLengthMismatch,
    SpaceShort,
    Truncated,
)
from firmware_app.dicom.header import examine_file
from firmware_app.dicom.scp.pdu import ProtocolViolation, split_data_values
from firmware_app.dicom.storage import Outcome, Spool
from firmware_app.ingest.intake import ImageIntake
from tests.objects import DX, EXPLICIT, SEQUENCE_END, UNDEFINED, element, file_of, film, item
from tests.refusals import Expected, raises_refusal
from tests.wire.gateways import running
from tests.wire.raw import RawClient


def incoming(door: ImageIntake) -> list[Path]:
    return list(door.state.incoming.iterdir())


# --- an object ------------------------------------------------------------------------------------------------------


def test_one_pixel_byte_less_than_declared_is_less(at: Path) -> None:
    at.write_bytes(file_of(film(rows=3, columns=3, pixels=bytes(18))))
    examine_file(at)
    at.write_bytes(file_of(film(rows=3, columns=3, pixels=bytes(16))))
    with pytest.raises(PixelLengthMismatch):
        examine_file(at)
    at.write_bytes(file_of(film(rows=1, columns=1, extra=element(0x00280100, b"US", b"\x08\0"), pixels=b"")))
    with pytest.raises(PixelLengthMismatch):  # nothing at all where one byte was declared
        examine_file(at)


def test_nesting_is_bounded_exactly(at: Path) -> None:
    opened = pack("<HH2sHL", 0x0008, 0x1115, b"SQ", 0, UNDEFINED) + pack("<HHL", 0xFFFE, 0xE000, UNDEFINED)
    closed = pack("<HHL", 0xFFFE, 0xE00D, 0) + pack("<HHL", 0xFFFE, 0xE0DD, 0)
    one_more = pack("<HH2sHL", 0x0008, 0x1115, b"SQ", 0, UNDEFINED) + pack("<HHL", 0xFFFE, 0xE0DD, 0)
    deep = DEPTH_LIMIT // 2  # a sequence and its item are a level each
    at.write_bytes(file_of(film(extra=opened * deep + closed * deep)))
    examine_file(at)
    at.write_bytes(file_of(film(extra=opened * deep + one_more + closed * deep)))
    with pytest.raises(NestedTooDeep):
        examine_file(at)


def test_a_sequence_that_the_end_of_the_file_cuts_off_is_not_whole(at: Path) -> None:
    said = element(0x7FE10010, b"SQ", item(element(0x00080104, b"LO", b"frontal")), length=UNDEFINED)
    at.write_bytes(file_of(film() + said + SEQUENCE_END))
    examine_file(at)
    at.write_bytes(file_of(film() + said))
    with pytest.raises(Truncated):
        examine_file(at)


@pytest.mark.parametrize(
    ("uid", "faulty"),
    [
        ("2.25." + "1" * 59, ()),
        ("2.25." + "1" * 60, ("SOPInstanceUID",)),
        ("2.25." + "1" * 123, ("SOPInstanceUID",)),
        ("1.02.3", ()),
        ("12", ("SOPInstanceUID",)),
        ("1..2", ("SOPInstanceUID",)),
    ],
)
def test_an_identity_that_breaks_the_rules_is_taken_up_to_128_characters_and_noted_beyond_64(
    at: Path, uid: str, faulty: tuple[str, ...]
) -> None:
    at.write_bytes(file_of(film(sop_instance=uid)))
    header = examine_file(at).header
    assert (header.sop_instance_uid, header.faulty_uids) == (uid, faulty)


# --- a spool --------------------------------------------------------------------------------------------------------


def test_an_object_of_exactly_the_limit_is_taken_and_one_byte_more_is_not(tmp_path: Path) -> None:
    for size, fits in ((1000, True), (1001, False)):
        spool = Spool(tmp_path, reserve_bytes=0, limit_bytes=1000)
        try:
            if fits:
                spool.write(bytes(size))
            else:
                with pytest.raises(ObjectTooLarge):
                    spool.write(bytes(size))
        finally:
            spool.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_would_eat_the_reserve_is_refused_before_it_is_copied(
    door: ImageIntake, at: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at.write_bytes(file_of(film(rows=1500, columns=1500)))  # 4.5 MB
    monkeypatch.setattr(
        "firmware_app.dicom.storage.free_bytes", lambda _folder: 20_000_000
    )  # 16 of them are the reserve
    with pytest.raises(SpaceShort):
        door.accept_file(at)
    at.write_bytes(file_of(film()))
    assert door.accept_file(at).outcome is Outcome.ACCEPTED
    assert incoming(door) == []


def write_megabytes(spool: Spool, count: int) -> None:
    for _ in range(count):
        spool.write(bytes(1_000_000))


def test_an_object_without_an_end_leaves_as_much_room_as_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve, disk = 4_000_000, 30_000_000
    spool = Spool(tmp_path, reserve_bytes=reserve, limit_bytes=2 * disk)
    monkeypatch.setattr("firmware_app.dicom.storage.free_bytes", lambda _folder: disk - spool.path.stat().st_size)
    with pytest.raises(SpaceShort):
        write_megabytes(spool, 2 * disk // 1_000_000)
    taken = spool.path.stat().st_size
    spool.discard()
    between_two_looks = 4_000_000
    assert between_two_looks < taken <= (disk - reserve) / 2 + between_two_looks


# --- nothing half-done ----------------------------------------------------------------------------------------------


def test_a_picture_and_a_bare_data_set_leave_nothing_in_incoming(door: ImageIntake, at: Path) -> None:
    drawn = io.BytesIO()
    Image.effect_noise((64, 48), 60).save(drawn, "PNG")
    for content in (drawn.getvalue(), film()):
        at.write_bytes(content)
        assert door.accept_file(at).outcome is Outcome.ACCEPTED
        assert incoming(door) == []


def test_a_stick_that_is_pulled_in_the_middle_leaves_nothing(
    door: ImageIntake, at: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at.write_bytes(file_of(film(rows=1200, columns=1200)))
    pread = os.pread

    def pulled(descriptor: int, count: int, start: int) -> bytes:
        if start > 1_000_000:
            raise OSError(errno.EIO, "Input/output error")
        return pread(descriptor, count, start)

    monkeypatch.setattr(os, "pread", pulled)
    with pytest.raises(FileUnreadable):
        door.accept_file(at)
    assert incoming(door) == []


def replace_by_link(path: Path) -> None:
    elsewhere = path.with_name("elsewhere")
    elsewhere.write_bytes(file_of(film()))
    path.symlink_to(elsewhere)


@pytest.mark.parametrize(("plant", "refusal"), [(os.mkfifo, NOT_A_REGULAR_FILE), (replace_by_link, FileUnreadable)])
def test_a_file_that_becomes_a_pipe_or_a_link_between_two_looks_is_not_opened_as_one(
    door: ImageIntake, at: Path, monkeypatch: pytest.MonkeyPatch, plant: Callable[[Path], None], refusal: Expected
) -> None:
    at.write_bytes(file_of(film()))
    lstat = os.lstat

    def replaced(path: Path) -> os.stat_result:
        status = lstat(path)
        at.unlink()
        plant(at)
        return status

    with monkeypatch.context() as patch:  # Python 3.13's rmtree asks in the same way, after the test
        patch.setattr(os, "lstat", replaced)
        with raises_refusal(refusal):
            door.accept_file(at)


def test_another_image_under_an_identity_whose_file_was_lost_is_a_conflict(door: ImageIntake, at: Path) -> None:
    at.write_bytes(file_of(film(sop_instance="2.25.5")))
    door.accept_file(at)
    [kept] = [path for path in door.state.images.rglob("*") if path.is_file()]
    kept.unlink()
    at.write_bytes(file_of(film(sop_instance="2.25.5")))
    with pytest.raises(InstanceConflict):
        door.accept_file(at)


def test_the_door_logs_no_name_that_a_sender_gave(
    door: ImageIntake, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = tmp_path / "LI_Hua_1952.dcm"
    given.write_bytes(bytes(400))
    with caplog.at_level(logging.DEBUG), pytest.raises(IntakeError):
        door.accept_file(given)
    assert "LI_Hua" not in caplog.text


# --- on the wire ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(pack(">LBB", 5, 1, 3) + b"abc"[:2], id="one byte behind the end"),
        pytest.param(pack(">LB", 1, 1), id="no room for its control header"),
        pytest.param(pack(">LB", 1, 1) + pack(">LBB", 2, 1, 3), id="a length without a control header"),
        pytest.param(pack(">LBB", 2, 1, 3) + b"\0\0\0", id="a cut second one"),
    ],
)
def test_a_fragment_that_does_not_fit_its_pdu_breaks_the_rules(content: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        list(split_data_values(memoryview(content)))


def test_an_instance_of_another_class_than_its_contexts_is_refused(tmp_path: Path) -> None:
    ct = "1.2.840.10008.5.1.4.1.1.2"
    with running(tmp_path / "state") as gateway, RawClient(gateway.port, [(DX, [EXPLICIT])]) as client:
        assert client.store(ct, "2.25.5", film(sop_class=ct, sop_instance="2.25.5")).status != 0
        assert gateway.files() == []
