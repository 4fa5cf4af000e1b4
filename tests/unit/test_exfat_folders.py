"""Folders of exFAT read from the medium itself: whole ones never alarm, and what a driver would pass over is seen."""

from __future__ import annotations

import random
import struct
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from firmware_app.intake.stick import folders
from firmware_app.intake.stick.file_system import FileSystem
from firmware_app.intake.stick.medium import Folders

CLUSTER = 1024  # 32 entries; a file with a short name has three
HEAP = 64 * 512
LAST = 0xFFFFFFFF
DAMAGED = Folders(None, damaged=True)
IMAGE = bytes(128) + b"DICM" + bytes(40)
EXAM, NEXT = 10, 11
"""The two clusters of the folder EXAM, which has its twelve files from cluster 20 on."""


def entries(
    name: str, first: int = 0, size: int = 0, *, folder: bool = False, chained: bool = False, late: int = 0
) -> bytes:
    """The set of entries of a file or a folder (section 7.4 and what follows); *late* entries claim to follow."""
    letters = name.encode("utf-16-le")
    parts = [letters[at : at + 30].ljust(30, b"\0") for at in range(0, len(letters), 30)]
    head = bytes([0x85, 1 + len(parts) + late, 0, 0, 0x10 if folder else 0x20]).ljust(32, b"\0")
    stream = struct.pack("<BBxB4xQ4xLQ", 0xC0, 1 if chained else 3, len(letters) // 2, size, first, size)
    return summed(head + stream + b"".join(b"\xc1\0" + part for part in parts))


def summed(part: bytes) -> bytes:
    total = 0
    for at, byte in enumerate(part):
        if at not in (2, 3):
            total = ((total >> 1 | total << 15) + byte) & 0xFFFF
    return part[:2] + total.to_bytes(2, "little") + part[4:]


@dataclass(frozen=True)
class Made:
    """A volume of a few clusters: what stands in them, the table, and which are in use."""

    inside: dict[int, bytes]
    table: dict[int, int] = field(default_factory=lambda: {2: LAST, EXAM: NEXT, NEXT: LAST})
    used: Sequence[int] = (2, 3, EXAM, NEXT, *range(20, 32))
    count: int = 64
    flags: int = 0

    def write(self, path: Path) -> Path:
        boot, bits = bytearray(512), bytearray(-(-self.count // 8))
        boot[:11] = b"\xeb\x76\x90EXFAT   "
        struct.pack_into("<LLLLLLHH", boot, 80, 24, 8 + self.count * 4 // 512, HEAP // 512, self.count, 2, 0, 256, 0)
        struct.pack_into("<HBBB", boot, 106, self.flags, 9, 1, 1)
        for number in self.used:
            bits[(number - 2) // 8] |= 1 << (number - 2) % 8
        with path.open("wb") as image:
            image.truncate(HEAP + self.count * CLUSTER)
            image.write(boot)
            for number, value in self.table.items():
                image.seek(24 * 512 + 4 * number)
                image.write(struct.pack("<L", value))
            for number, content in {**self.inside, 3: bytes(bits)}.items():
                image.seek(HEAP + (number - 2) * CLUSTER)
                image.write(content)
        return path

    def look(self, path: Path) -> Folders:
        return folders.look(self.write(path), FileSystem.EXFAT)

    def but(self, at: int, new: bytes, cluster: int = EXAM) -> Made:
        """With other bytes at a place of EXAM."""
        old = self.inside[cluster].ljust(CLUSTER, b"\0")
        return replace(self, inside={**self.inside, cluster: old[:at] + new + old[at + len(new) :]})


MAP = struct.pack("<BB18xLQ", 0x81, 0, 3, 8)


def whole() -> Made:
    """A root with a map, a label, a GUID and a folder of twelve images, which takes a cluster and an eighth of one."""
    files = b"".join(entries(f"IM{number:06d}", 20 + number, len(IMAGE)) for number in range(12))
    root = MAP + b"\x83".ljust(32, b"\0") + b"\xa0".ljust(32, b"\0")
    root += entries("EXAM", EXAM, 2 * CLUSTER, folder=True, chained=True)
    images = {20 + number: IMAGE for number in range(12)}
    return Made({2: root, EXAM: files[:CLUSTER], NEXT: files[CLUSTER:], **images})


# --- whole ----------------------------------------------------------------------------------------------------------


def test_a_whole_stick_is_whole(tmp_path: Path) -> None:
    assert whole().look(tmp_path / "image") == Folders(12)


def test_names_of_many_parts_and_what_systems_hide_are_known(tmp_path: Path) -> None:
    made = whole()
    more = entries("一张很长名字的胸片" * 20) + entries(".hidden") + entries("$RECYCLE.BIN", 40, CLUSTER, folder=True)
    made = replace(made.but(6 * 32, more, 2), used=(*made.used, 40))
    inside = entries("one") + entries("two")
    assert replace(made, inside={**made.inside, 40: inside}).look(tmp_path / "image") == Folders(13)


def test_what_was_deleted_is_no_damage(tmp_path: Path) -> None:
    made = whole()
    for at in (96, 128, 160):
        made = made.but(at, bytes([made.inside[EXAM][at] & 0x7F]))
    made = replace(made, used=[number for number in made.used if number != 21])
    assert made.look(tmp_path / "image") == Folders(11)


def test_half_a_deletion_on_a_stick_that_was_pulled_meanwhile_is_no_damage(tmp_path: Path) -> None:
    made = whole().but(96, b"\x05")
    assert replace(made, flags=2).look(tmp_path / "image") == Folders(11)
    assert made.look(tmp_path / "image") == DAMAGED  # whoever wrote it had finished: a bit has gone


def test_clusters_in_use_that_nobody_owns_are_no_damage_of_a_folder(tmp_path: Path) -> None:
    """As a PC leaves them from which the stick was pulled while it wrote."""
    made = whole()
    lost = replace(made, used=(*made.used, 50, 51), inside={**made.inside, 50: b"something", 51: IMAGE})
    assert lost.look(tmp_path / "image") == Folders(12)
    ends_with_a_sector = lost.but(4 * 32, entries("x" * 150), NEXT)
    assert ends_with_a_sector.look(tmp_path / "image") == DAMAGED
    assert replace(ends_with_a_sector, flags=2).look(tmp_path / "image") == Folders(13)
    no_image = replace(ends_with_a_sector, inside={**ends_with_a_sector.inside, 51: b"a text"})
    assert no_image.look(tmp_path / "image") == Folders(13)


def deleted(part: bytes) -> bytes:
    return b"".join(bytes([part[at] & 0x7F]) + part[at + 1 : at + 32] for at in range(0, len(part), 32))


def with_one_lost(more: bytes) -> Made:
    """A stick with a folder that ends exactly where a sector begins, and an image of two clusters that nobody owns."""
    made = whole().but(4 * 32, entries("x" * 150), NEXT).but(6 * 32, more, 2)
    return replace(made, used=(*made.used, 50, 51), inside={**made.inside, 50: IMAGE})


SIZE = CLUSTER + 1


def test_a_file_whose_deletion_was_broken_off_is_no_damage(tmp_path: Path) -> None:
    """Machines that make images write no mark of having begun, and their power goes as it likes."""
    for name in ("OLD", "an old long name of two parts"):
        straight = with_one_lost(deleted(entries(name, 50, SIZE)) + entries("NEW"))
        assert straight.look(tmp_path / "image") == Folders(14)
        chained = with_one_lost(deleted(entries(name, 50, SIZE, chained=True)))
        chained = replace(chained, table={**chained.table, 50: 51, 51: LAST})
        assert chained.look(tmp_path / "image") == Folders(13)
        longer = replace(chained, table={**chained.table, 51: 52, 52: LAST})
        assert longer.look(tmp_path / "image") == DAMAGED


def test_what_is_named_by_old_deleted_entries_alone_is_lost_all_the_same(tmp_path: Path) -> None:
    """Their clusters have become another file's, and its name is what has gone."""
    old = deleted(entries("OLD", 50, SIZE))
    others = {
        "no image's": deleted(entries("OLD", 51, 10)),
        "shorter": deleted(entries("OLD", 50, CLUSTER)),
        "longer": deleted(entries("OLD", 50, 2 * CLUSTER + 1)),
        "empty": deleted(entries("OLD", 50)),
        "beyond the end": deleted(entries("OLD", 50, 1 << 40)),
        "a folder's": deleted(entries("OLD", 50, SIZE, folder=True)),
        "with another sum": old[:40] + b"?" + old[41:],
        "half a set": old[:64],
        "of one entry": b"\x05".ljust(32, b"\0"),
        "out of order": old[:32] + old[64:] + old[32:64],
        "parted by another": old[:32] + entries("NEW") + old[32:],
        "behind the end": bytes(32) + old,
    }
    for what, one in others.items():
        assert with_one_lost(one).look(tmp_path / "image") == DAMAGED, what
    made = with_one_lost(old + deleted(entries("OLD2", 53, 10)))
    assert made.look(tmp_path / "image") == Folders(13)
    two = replace(made, used=(*made.used, 53), inside={**made.inside, 53: IMAGE})
    assert two.look(tmp_path / "image") == DAMAGED  # no power goes in the middle of two deletions


def test_a_folder_that_is_longer_than_it_needs_and_an_empty_one_are_no_damage(tmp_path: Path) -> None:
    made = whole().but(6 * 32, entries("EMPTY", 40, CLUSTER, folder=True) + entries("NONE", folder=True), 2)
    made = replace(made, table={**made.table, NEXT: 41, 41: LAST}, used=(*made.used, 40, 41))
    made = made.but(3 * 32, entries("EXAM", EXAM, 3 * CLUSTER, folder=True, chained=True), 2)
    assert made.look(tmp_path / "image") == Folders(12)


def test_old_entries_behind_the_end_are_damage_only_where_their_file_is_still_there(tmp_path: Path) -> None:
    old = whole().but(10 * 32, entries("OLD", 25, 10), NEXT)
    assert old.look(tmp_path / "image") == Folders(12)  # by now another file has that cluster
    gone = whole().but(10 * 32, entries("OLD", 45, 10), NEXT)
    assert gone.look(tmp_path / "image") == Folders(12)  # or none
    assert replace(gone, used=(*gone.used, 45)).look(tmp_path / "image") == DAMAGED


# --- damaged --------------------------------------------------------------------------------------------------------

SECTOR = 512
WAYS: dict[str, Callable[[Made], Made]] = {
    "wiped out at its beginning": lambda made: made.but(0, bytes(SECTOR)),
    "wiped out in its middle": lambda made: made.but(SECTOR, bytes(SECTOR)),
    "wiped out at its end": lambda made: made.but(0, bytes(SECTOR), NEXT),
    "wiped out altogether": lambda made: made.but(0, bytes(CLUSTER)).but(0, bytes(CLUSTER), NEXT),
    "erased": lambda made: made.but(SECTOR, b"\xff" * SECTOR),
    "text": lambda made: made.but(SECTOR, b"not a folder's block" * 25),
    "a letter": lambda made: made.but(66, b"?"),
    "one bit of use": lambda made: made.but(96, b"\x05"),
    "a kind that there is not": lambda made: made.but(0, b"\x86"),
    "an old kind that there is not": lambda made: made.but(0, b"\x06"),
    "a count that does not fit": lambda made: made.but(0, entries("IM000000", 20, 10, late=1)),
    "no count": lambda made: made.but(1, b"\0"),
    "a name without letters": lambda made: made.but(0, summed(entries("x")[:35] + b"\0" + entries("x")[36:])),
    "a map that is not in the root": lambda made: made.but(0, MAP),
    "no map in the root": lambda made: made.but(0, b"\x01", 2),
    "led to nothing": lambda made: made.but(96, entries("EXAM", 70, CLUSTER, folder=True), 2),
    "led beyond the end": lambda made: made.but(96, entries("EXAM", 65, 2 * CLUSTER, folder=True), 2),
    "longer than a folder may be": lambda made: made.but(96, entries("EXAM", EXAM, 257 << 20, folder=True), 2),
    "longer than its chain": lambda made: made.but(
        96, entries("EXAM", EXAM, 3 * CLUSTER, folder=True, chained=True), 2
    ),
    "in a ring": lambda made: replace(
        made.but(96, entries("EXAM", EXAM, 9 * CLUSTER, folder=True, chained=True), 2),
        table={**made.table, NEXT: EXAM},
    ),
    "root in a ring": lambda made: replace(made, table={**made.table, 2: 2}),
    "the same as another": lambda made: made.but(6 * 32, entries("OTHER", NEXT, CLUSTER, folder=True, chained=True), 2),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_folder_that_is_damaged_is_seen(tmp_path: Path, way: str) -> None:
    assert WAYS[way](whole()).look(tmp_path / "image") == DAMAGED


@pytest.mark.parametrize("value", [0, 1, 0xFFFFFFF7, 66])
def test_a_chain_that_leads_to_none_is_seen(tmp_path: Path, value: int) -> None:
    made = whole()
    assert replace(made, table={**made.table, EXAM: value}).look(tmp_path / "image") == DAMAGED


def test_the_second_table_and_map_count_where_the_volume_says_so(tmp_path: Path) -> None:
    image = whole().write(tmp_path / "image")
    data = bytearray(image.read_bytes())
    data[110], data[106] = 2, 1
    struct.pack_into("<L", data, 84, 4)
    data[28 * 512 : 29 * 512] = data[24 * 512 : 25 * 512]
    data[24 * 512 : 25 * 512] = bytes(512)  # the first is not up to date
    data[HEAP + 1] = 1
    image.write_bytes(data)
    assert folders.look(image, FileSystem.EXFAT) == Folders(12)


def test_a_medium_that_ends_too_early_is_damage(tmp_path: Path) -> None:
    image = whole().write(tmp_path / "image")
    image.write_bytes(image.read_bytes()[: HEAP + (EXAM - 2) * CLUSTER])
    assert folders.look(image, FileSystem.EXFAT) == DAMAGED


def test_of_any_sector_of_its_folders_the_loss_is_seen(tmp_path: Path) -> None:
    """Whatever stands there then, files are not silently fewer."""
    draw, made = random.Random(7), whole()
    for cluster, at in ((EXAM, 0), (EXAM, SECTOR), (NEXT, 0)):
        for new in (bytes(SECTOR), b"\xff" * SECTOR, *(draw.randbytes(SECTOR) for _ in range(60))):
            found = made.but(at, new, cluster).look(tmp_path / "image")
            assert found == DAMAGED, (cluster, at, new[:64])


def test_whatever_stands_on_it_the_look_ends_in_words(tmp_path: Path) -> None:
    draw, image = random.Random(7), tmp_path / "image"
    data = whole().write(image).read_bytes()
    for _ in range(300):
        bad = bytearray(data)
        for _ in range(draw.choice((1, 8, 64))):
            bad[draw.choice((draw.randrange(128), draw.randrange(24 * 512, len(bad))))] = draw.randrange(256)
        image.write_bytes(bad)
        assert isinstance(folders.look(image, FileSystem.EXFAT), Folders)


# --- meant to harm --------------------------------------------------------------------------------------------------


def test_files_that_all_claim_the_whole_stick_are_no_work_without_an_end(tmp_path: Path) -> None:
    count = 2048
    chain = {number: number + 1 for number in range(4, count)} | {2: LAST, count: LAST}
    claims = [entries("F", 4 + number, 1 << 60, chained=bool(number % 2)) for number in range(CLUSTER // 96)]
    made = Made({2: MAP + b"".join(claims)[: CLUSTER - 64]}, chain, range(2, count + 2), count)
    made = replace(made, inside={2: MAP + b"".join(claims[:10])})
    begun = time.process_time()
    assert made.look(tmp_path / "image").damaged is False
    assert time.process_time() - begun < 5


def test_a_volume_that_says_it_has_four_milliard_clusters_takes_no_memory(tmp_path: Path) -> None:
    image = whole().write(tmp_path / "image")
    with image.open("r+b") as handle:
        handle.seek(84)
        handle.write(struct.pack("<LLL", LAST, HEAP // 512, LAST))
    tracemalloc.start()
    try:
        assert folders.look(image, FileSystem.EXFAT) == Folders()
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shifts", [b"\x08\x01", b"\x0d\x01", b"\x09\x20"])
def test_sectors_and_clusters_of_no_size_that_there_is_are_left_unjudged(tmp_path: Path, shifts: bytes) -> None:
    image = whole().write(tmp_path / "image")
    with image.open("r+b") as handle:
        handle.seek(108)
        handle.write(shifts)
    assert folders.look(image, FileSystem.EXFAT) == Folders()


def test_a_stick_that_takes_too_long_is_left_unjudged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "_LIMIT_S", -1.0)
    assert whole().look(tmp_path / "image") == Folders()
