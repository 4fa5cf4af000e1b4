"""Files of an NTFS volume counted by its table of records, whatever the indexes of its folders name."""

from __future__ import annotations

import random
import struct
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from firmware_app.intake.stick import folders
from firmware_app.intake.stick.file_system import FileSystem
from firmware_app.intake.stick.medium import Folders

CLUSTER, RECORD = 512, 1024  # so a record may lie in two pieces
ROOT = 5 | 5 << 48


def attribute(kind: int, value: bytes) -> bytes:
    size = -(-(24 + len(value)) // 8) * 8
    return (struct.pack("<LLBBHHHLH", kind, size, 0, 0, 0, 0, 0, len(value), 24) + bytes(2) + value).ljust(size, b"\0")


def named(folder: int, name: str, space: int = 1) -> bytes:
    letters = name.encode("utf-16-le")
    return attribute(0x30, struct.pack("<Q56xBB", folder, len(letters) // 2, space) + letters)


@dataclass(frozen=True)
class Record:
    attributes: bytes
    flags: int = 1
    sequence: int = 1
    base: int = 0

    def bytes(self) -> bytes:
        head = struct.pack("<4sHHQHHHHLLQ", b"FILE", 48, 3, 0, self.sequence, 1, 56, self.flags, 0, RECORD, self.base)
        data = bytearray((head.ljust(56, b"\0") + self.attributes + b"\xff" * 4).ljust(RECORD, b"\0"))
        mark = b"\x07\x00"
        data[48:54] = mark + data[510:512] + data[1022:1024]
        data[510:512] = data[1022:1024] = mark
        return bytes(data)


def file(folder: int, name: str) -> Record:
    return Record(named(folder, name))


def folder(above: int, name: str, sequence: int = 1) -> Record:
    return Record(named(above, name), flags=3, sequence=sequence)


def ref(number: int, sequence: int = 1) -> int:
    return number | sequence << 48


def volume(records: dict[int, Record]) -> bytes:
    """The table in two pieces, the first of which ends in the middle of a record."""
    count = max(records) + 1
    clusters, first, place, gap = count * RECORD // CLUSTER, 51, 8, 5
    runs = bytes([0x11, first, place, 0x22]) + struct.pack("<Hh", clusters - first, first + gap) + b"\0"
    data = struct.pack("<LLBBHHHQQH6xQQQ", 0x80, 64 + 16, 1, 0, 0, 0, 0, 0, clusters - 1, 64, *[count * RECORD] * 3)
    records = {0: Record(named(ROOT, "$MFT") + data + runs.ljust(16, b"\0")), 5: folder(ROOT, ".", 5), **records}
    table = b"".join(records[number].bytes() if number in records else bytes(RECORD) for number in range(count))
    boot = bytearray(512)
    boot[:11] = b"\xebR\x90NTFS    "
    struct.pack_into("<HB34xQ8xb", boot, 11, 512, CLUSTER // 512, place, -10)
    cut = first * CLUSTER
    return bytes(boot).ljust(place * CLUSTER, b"\0") + table[:cut] + bytes(gap * CLUSTER) + table[cut:]


def look(path: Path, data: bytes) -> Folders:
    path.write_bytes(data)
    return folders.look(path, FileSystem.NTFS)


def sound() -> dict[int, Record]:
    """Three images, one with a second name for DOS, one whose name did not fit into its record; and what is hidden."""
    return {
        11: folder(ROOT, "$Extend"),
        24: file(ref(11), "$ObjId"),
        25: file(ROOT, "第一张胸片.dcm"),
        26: folder(ROOT, "EXAM", 3),
        27: Record(named(ref(26, 3), "IM0000~1", 2) + named(ref(26, 3), "IM000000.long")),
        28: Record(attribute(0x20, bytes(32))),
        29: Record(named(ref(26, 3), "x" * 200), base=ref(28)),
        30: file(ref(26, 2), "of an earlier folder in that record"),
        31: file(ref(99), "of none"),
        32: Record(named(ROOT, "deleted"), flags=0),
        33: folder(ROOT, "System Volume Information"),
        34: file(ref(33), "WPSettings.dat"),
        35: file(ROOT, "._mac"),
    }


def test_each_file_that_leads_to_the_root_is_counted_once(tmp_path: Path) -> None:
    assert look(tmp_path / "image", volume(sound())) == Folders(3)


def test_folders_in_each_other_and_deeper_than_the_search_goes_are_not_counted(tmp_path: Path) -> None:
    records = {40: folder(ref(41), "A"), 41: folder(ref(40), "B"), 42: file(ref(40), "in a ring")}
    above = ROOT
    for depth in range(1, 19):  # the search looks into folders sixteen deep
        records[50 + depth], records[80 + depth] = folder(above, "D"), file(ref(50 + depth), "F")
        above = ref(50 + depth)
    assert look(tmp_path / "image", volume(records)) == Folders(16)


def test_a_record_in_use_that_is_half_written_is_damage(tmp_path: Path) -> None:
    data = volume(sound())
    at = data.index("EXAM".encode("utf-16-le")) // 512 * 512
    torn = data[: at + 510] + b"??" + data[at + 512 :]
    assert look(tmp_path / "image", torn) == Folders(None, damaged=True)
    at = data.index("deleted".encode("utf-16-le")) // 512 * 512
    assert look(tmp_path / "image", data[: at + 510] + b"??" + data[at + 512 :]) == Folders(3)


def test_a_medium_that_ends_too_early_is_damage(tmp_path: Path) -> None:
    assert look(tmp_path / "image", volume(sound())[:-RECORD]) == Folders(None, damaged=True)


def test_a_table_that_lies_nowhere_or_that_its_own_record_does_not_describe_is_left_unjudged(tmp_path: Path) -> None:
    data = volume(sound())
    runs = data.index(b"\x11\x33\x08\x22")
    for new in (b"\0", b"\x11\x33\x80", b"\xff", b"\x10"):
        assert look(tmp_path / "image", data[:runs] + new + data[runs + len(new) :]) == Folders()
    boot = bytearray(data)
    struct.pack_into("<Q", boot, 48, 1 << 63)
    assert look(tmp_path / "image", bytes(boot)) == Folders(None, damaged=True)


def test_whatever_stands_on_it_the_look_ends_in_words(tmp_path: Path) -> None:
    draw, data = random.Random(7), volume(sound())
    for _ in range(300):
        bad = bytearray(data)
        for _ in range(draw.choice((1, 8, 64))):
            bad[draw.choice((draw.randrange(96), draw.randrange(len(bad))))] = draw.randrange(256)
        assert isinstance(look(tmp_path / "image", bytes(bad)), Folders)


def test_fifty_thousand_records_take_no_minutes(tmp_path: Path) -> None:
    path = tmp_path / "image"
    one, count = file(ROOT, "F").bytes(), 50_000
    first = Record(b"")
    runs = b"\x13" + count.to_bytes(3, "little") + b"\x02\0"  # of clusters as large as a record
    data = struct.pack("<LLBBHHHQQH6xQQQ", 0x80, 64 + 8, 1, 0, 0, 0, 0, 0, count - 1, 64, *[count * RECORD] * 3)
    first = replace(first, attributes=data + runs.ljust(8, b"\0"))
    boot = bytearray(2 * RECORD)
    boot[:11] = b"\xebR\x90NTFS    "
    struct.pack_into("<HB34xQ8xb", boot, 11, 512, 2, 2, -10)
    with path.open("wb") as image:
        image.write(boot + first.bytes())
        for _ in range(0, count - 1000, 1000):
            image.write(one * 1000)
        image.write(one * 999)
    begun = time.process_time()
    assert folders.look(path, FileSystem.NTFS) == Folders(count - 24)
    assert time.process_time() - begun < 5


@pytest.mark.parametrize("place", [11, 13, 64])
def test_sectors_clusters_and_records_of_no_size_that_there_is_are_left_unjudged(tmp_path: Path, place: int) -> None:
    data = bytearray(volume(sound()))
    data[place : place + 1] = b"\x03" if place == 11 else b"\0"
    assert look(tmp_path / "image", bytes(data)) == Folders()
