"""Folders read from the medium itself: whole ones never alarm, and a block that a driver would pass over is seen."""

from __future__ import annotations

import os
import struct
import subprocess
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from firmware_app.intake.stick import folders
from firmware_app.intake.stick.file_system import FileSystem
from firmware_app.intake.stick.medium import Folders
from tests.peers import peer

PER_FOLDER = 150
FOLDERS = ("EXAM1", "EXAM2")
WHOLE = Folders(PER_FOLDER * len(FOLDERS) + 1, damaged=False)
DAMAGED = Folders(None, damaged=True)
FAT, ISO = FileSystem.FAT, FileSystem.ISO9660


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders of images with short names, one with a long Chinese name, and what systems hide."""
    content = tmp_path_factory.mktemp("content")
    for name in FOLDERS:
        (content / name).mkdir()
        for number in range(PER_FOLDER):
            (content / name / f"IM{number:06d}").write_bytes(bytes(128) + b"DICM" + bytes(40))
    (content / "一张很长名字的胸片.dcm").write_bytes(b"x")
    (content / ".hidden").mkdir()
    (content / ".hidden" / "one").write_bytes(b"x")
    (content / "System Volume Information").mkdir()
    (content / "System Volume Information" / "one").write_bytes(b"x")
    return content


@pytest.fixture(scope="module")
def fats(content: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, bytes]:
    """The content on a volume of 512-byte clusters, by the bits of its table."""
    folder, made = tmp_path_factory.mktemp("fat"), {}
    for bits, megabytes in ((12, 2), (16, 8), (32, 40)):
        image = folder / f"fat{bits}.img"
        with image.open("wb") as handle:
            handle.truncate(megabytes << 20)
        quiet = {"stdout": subprocess.DEVNULL, "check": True}
        cluster = "1" if bits != 12 else "2"
        subprocess.run([peer("mkfs.vfat"), "-F", str(bits), "-s", cluster, str(image)], **quiet)  # type: ignore[call-overload]
        names = sorted(str(path) for path in content.iterdir())
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        subprocess.run([peer("mcopy"), "-s", "-Q", "-i", str(image), *names, "::/"], env=environment, **quiet)  # type: ignore[call-overload]
        made[bits] = image.read_bytes()
    return made


@pytest.fixture(scope="module")
def disc(content: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return made_disc(content, tmp_path_factory.mktemp("disc"))


def made_disc(content: Path, folder: Path, *options: str) -> bytes:
    image = folder / "disc.iso"
    words = ["-quiet", "-input-charset", "utf-8", *options, "-o", str(image), str(content)]
    subprocess.run([peer("genisoimage"), *words], check=True, capture_output=True)
    return image.read_bytes()


def look(path: Path, data: bytes, kind: FileSystem) -> Folders:
    path.write_bytes(data)
    return folders.look(path, kind)


def changed(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


# --- whole ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [12, 16, 32])
def test_a_whole_stick_is_whole(tmp_path: Path, fats: dict[int, bytes], bits: int) -> None:
    assert look(tmp_path / "image", fats[bits], FAT) == WHOLE


@pytest.mark.parametrize("options", [(), ("-J",), ("-R",), ("-J", "-R"), ("-l",)])
def test_a_whole_disc_is_whole(tmp_path: Path, content: Path, options: tuple[str, ...]) -> None:
    found = look(tmp_path / "image", made_disc(content, tmp_path, *options), ISO)
    assert not found.damaged
    assert found.files is not None
    hidden = 2 if "-J" not in options else 0  # names that begin with a dot have none in plain ISO 9660
    assert WHOLE.files is not None
    assert WHOLE.files <= found.files <= WHOLE.files + hidden


def test_files_that_were_deleted_and_chains_that_nobody_owns_are_no_damage(
    tmp_path: Path, fats: dict[int, bytes]
) -> None:
    """As a PC leaves them from which the stick was pulled while it wrote."""
    image = tmp_path / "image"
    image.write_bytes(fats[16])
    subprocess.run([peer("mdel"), "-i", str(image), "::/EXAM1/IM000140"], check=True)
    assert folders.look(image, FAT) == Folders((WHOLE.files or 0) - 1)
    data = image.read_bytes()
    last = data.index(b"IM000149")  # its name goes, its chain stays
    assert look(image, changed(data, last, b"\xe5"), FAT) == Folders((WHOLE.files or 0) - 2)


IMAGE = bytes(128) + b"DICM" + bytes(5000)


@pytest.fixture(params=[12, 16])
def full(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A stick with a folder that ends exactly where a sector begins, and two images and a text beside it."""
    image, one, text = tmp_path / "full.img", tmp_path / "one", tmp_path / "text"
    with image.open("wb") as handle:
        handle.truncate((4 if request.param == 12 else 16) << 20)
    one.write_bytes(IMAGE)
    text.write_bytes(b"a text")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "check": True}
    subprocess.run([peer("mkfs.vfat"), "-F", str(request.param), "-s", "4", str(image)], **quiet)  # type: ignore[call-overload]
    subprocess.run([peer("mmd"), "-i", str(image), "::/EXAM"], check=True)
    within = [f"EXAM/IM{number:06d}" for number in range(14)]  # with its own two names, 16
    for name in (*within, "OLD1.DCM", "old long name.dcm", "TEXT"):
        source = text if name == "TEXT" else one
        subprocess.run([peer("mcopy"), "-i", str(image), str(source), f"::/{name}"], check=True)
    assert folders.look(image, FAT) == Folders(17)
    return image


def deleted(data: bytes, name: bytes) -> bytes:
    return changed(data, data.index(name), b"\xe5")


def test_a_file_whose_deletion_was_broken_off_is_no_damage(full: Path) -> None:
    """Machines that make images write no mark of having begun, and their power goes as it likes."""
    data = full.read_bytes()
    assert look(full, deleted(data, b"OLD1    DCM"), FAT) == Folders(16)
    long = deleted(data, b"OLDLON~1DCM")
    for letters in ("old long name"[:5], ".dcm"):  # of the parts of its name, too
        long = changed(long, long.index(letters.encode("utf-16-le")) - 1, b"\xe5")
    assert look(full, long, FAT) == Folders(16)
    within = deleted(data, b"IM000013   ")  # in the folder itself, the last
    assert look(full, within, FAT) == Folders(16)


def test_a_cluster_beyond_sixteen_bits_is_known_again_where_its_file_was_being_deleted(tmp_path: Path) -> None:
    head, cluster = 70_000, 1024
    table = [0, 1 << 27, *_chain(2, 1), *[0] * (head + 1 - 3)]
    table[head:] = [head + 1, _LAST]
    root = b"".join(_entry(f"EMPTY{number:03d}", 0x20, 0) for number in range(15))  # which are not counted
    old = b"\xe5" + _entry("OLD", 0x20, head, cluster + 1)[1:]
    inside = {2: root + old, head: IMAGE[:cluster]}
    _write_fat(tmp_path / "image", table, inside, cluster)
    assert folders.look(tmp_path / "image", FAT) == Folders(0)
    inside[2] = root + b"\xe5" + _entry("OLD", 0x20, head & 0xFFFF, cluster + 1)[1:]
    _write_fat(tmp_path / "image", table, inside, cluster)
    assert folders.look(tmp_path / "image", FAT) == DAMAGED


def test_what_is_named_by_old_deleted_entries_alone_is_lost_all_the_same(full: Path) -> None:
    """Their clusters have become another file's, and its name is what has gone."""
    data = full.read_bytes()
    old = data.index(b"OLD1    DCM")
    gone = deleted(data, b"OLD1    DCM")
    assert look(full, deleted(gone, b"OLDLON~1DCM"), FAT) == DAMAGED  # no power goes in the middle of two deletions
    for size in (0, len(IMAGE) - 2048, len(IMAGE) + 2048):  # its chain is of another length
        assert look(full, changed(gone, old + 28, struct.pack("<L", size)), FAT) == DAMAGED
    text = first_of(data, b"TEXT       ")
    assert look(full, changed(gone, old + 26, text), FAT) == DAMAGED  # it names what somebody owns
    assert look(full, changed(gone, old + 11, b"\x10"), FAT) == DAMAGED  # a folder
    late = changed(gone, old, bytes(32))
    late = changed(late, late.index(b"IM000013   ") + 32 + 512, b"\xe5" + gone[old + 1 : old + 32])
    assert look(full, late, FAT) == DAMAGED  # behind the mark of the folder's end


def test_the_bin_of_windows_is_passed_by_as_the_search_does_it(tmp_path: Path, fats: dict[int, bytes]) -> None:
    """Its name is short enough to stand without a long one, and it may hold any number of files."""
    image = tmp_path / "image"
    image.write_bytes(fats[16])
    (tmp_path / "one").write_bytes(b"x")
    subprocess.run([peer("mmd"), "-i", str(image), "::/$RECYCLE.BIN"], check=True)
    for name in ("$RA.DCM", "$IA.DCM", "DESKTOP.INI"):
        command = [peer("mcopy"), "-i", str(image), str(tmp_path / "one"), f"::/$RECYCLE.BIN/{name}"]
        subprocess.run(command, check=True)
    assert b"$RECYCLEBIN\x10" in image.read_bytes()
    assert folders.look(image, FAT) == WHOLE


def test_an_old_entry_for_what_is_the_inside_of_a_file_now_is_no_damage(tmp_path: Path) -> None:
    old = _entry("IM000001", 0x20, 4, 100)  # behind the folder's end; cluster 4 is the last of another file by now
    table = [0, 0, _LAST, 4, _LAST]
    _write_fat(tmp_path / "image", table, {2: _entry("IM000002", 0x20, 3, 1000) + bytes(32) + old})
    assert folders.look(tmp_path / "image", FAT) == Folders(1)
    table[3] = _LAST  # and a lost one, where nothing leads to it
    _write_fat(tmp_path / "image", table, {2: _entry("IM000002", 0x20, 3, 500) + bytes(32) + old})
    assert folders.look(tmp_path / "image", FAT) == DAMAGED


@pytest.mark.parametrize("kind", list(FileSystem))
def test_what_has_no_form_that_is_known_is_not_called_damaged(tmp_path: Path, kind: FileSystem) -> None:
    assert look(tmp_path / "image", bytes(1 << 20), kind) == Folders()
    assert folders.look(tmp_path / "none", kind) == Folders()


def test_a_stick_that_takes_too_long_is_left_unjudged(
    tmp_path: Path, fats: dict[int, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "_LIMIT_S", -1.0)
    assert look(tmp_path / "image", fats[32], FAT) == Folders()


# --- damaged --------------------------------------------------------------------------------------------------------

CLUSTER = 512


def last_block(data: bytes) -> int:
    """Where the last sector with names of EXAM1 begins; there are eight in it."""
    return max(data.index(f"IM{number:06d}".encode()) for number in range(PER_FOLDER)) // 512 * 512


def first_of(data: bytes, name: bytes) -> bytes:
    at = data.index(name) + 26
    return data[at : at + 2]


# In a cluster of 512 bytes there are 16 entries; the first of a folder has its own two and 14 files.
WAYS: dict[str, Callable[[bytes], bytes]] = {
    "wiped out at its beginning": lambda data: changed(data, data.index(b"IM000000") - 64, bytes(CLUSTER)),
    "wiped out in its middle": lambda data: changed(data, data.index(b"IM000014"), bytes(CLUSTER)),
    "erased in its middle": lambda data: changed(data, data.index(b"IM000014"), b"\xff" * CLUSTER),
    "noise in its middle": lambda data: changed(data, data.index(b"IM000014"), bytes(range(256)) * 2),
    "wiped out at its end": lambda data: changed(data, last_block(data), bytes(CLUSTER)),
    "led to nothing": lambda data: changed(data, data.index(b"EXAM1   ") + 26, b"\xf0\xff"),
    "led to no cluster": lambda data: changed(data, data.index(b"EXAM1   ") + 26, bytes(2)),
    "led to another": lambda data: changed(data, data.index(b"EXAM1   ") + 26, first_of(data, b"EXAM2   ")),
    "a file without a cluster": lambda data: changed(data, data.index(b"IM000030") + 26, bytes(2)),
    "a root wiped out": lambda data: changed(data, data.index(b"EXAM1   ") // CLUSTER * CLUSTER, bytes(CLUSTER)),
}


@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("way", WAYS)
def test_a_folder_of_a_stick_that_is_damaged_is_seen(
    tmp_path: Path, fats: dict[int, bytes], bits: int, way: str
) -> None:
    assert look(tmp_path / "image", WAYS[way](fats[bits]), FAT) == DAMAGED


@pytest.mark.parametrize("value", [0, 1, 0xFFF7])
def test_a_folder_whose_chain_breaks_off_is_seen(tmp_path: Path, fats: dict[int, bytes], value: int) -> None:
    data = fats[16]
    at = data.index(b"EXAM1   ") + 26
    first = int.from_bytes(data[at : at + 2], "little")
    table = int.from_bytes(data[14:16], "little") * 512
    assert look(tmp_path / "image", changed(data, table + 2 * first, value.to_bytes(2, "little")), FAT) == DAMAGED


def test_a_folder_that_runs_in_a_ring_is_seen(tmp_path: Path, fats: dict[int, bytes]) -> None:
    data = fats[16]
    at = data.index(b"EXAM1   ") + 26
    first = int.from_bytes(data[at : at + 2], "little")
    table = int.from_bytes(data[14:16], "little") * 512
    assert look(tmp_path / "image", changed(data, table + 2 * first, data[at : at + 2]), FAT) == DAMAGED


@pytest.mark.parametrize("bits", [12, 16, 32])
def test_the_lost_end_of_a_folder_is_told_from_what_sound_sticks_have(
    tmp_path: Path, fats: dict[int, bytes], bits: int
) -> None:
    image, data = tmp_path / "image", fats[bits]
    wiped = changed(data, last_block(data), bytes(CLUSTER))
    assert look(image, wiped, FAT) == DAMAGED
    seen = Folders((WHOLE.files or 0) - 8)
    assert look(image, wiped.replace(b"DICM", b"TEXT"), FAT) == seen
    mark = 65 if bits == 32 else 37
    assert look(image, changed(wiped, mark, b"\1"), FAT) == seen  # Linux had not finished writing
    if bits != 12:
        table = int.from_bytes(data[14:16], "little") * 512
        at = table + (7 if bits == 32 else 3)
        assert look(image, changed(wiped, at, bytes([data[at] & (0xF7 if bits == 32 else 0x7F)])), FAT) == seen


@pytest.mark.parametrize(("bits", "megabytes"), [(12, 2), (16, 8), (32, 40)])
@pytest.mark.parametrize("label", [(), ("-n", "STICK")])
def test_an_empty_stick_is_whole(tmp_path: Path, bits: int, megabytes: int, label: tuple[str, ...]) -> None:
    image = tmp_path / "image"
    with image.open("wb") as handle:
        handle.truncate(megabytes << 20)
    subprocess.run(
        [peer("mkfs.vfat"), "-F", str(bits), "-s", "1", *label, str(image)] if bits != 12
        else [peer("mkfs.vfat"), *label, str(image)], stdout=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    assert folders.look(image, FAT) == Folders(0)
    (tmp_path / "empty").write_bytes(b"")
    subprocess.run([peer("mcopy"), "-i", str(image), str(tmp_path / "empty"), "::/"], check=True)
    assert folders.look(image, FAT) == Folders(0)  # as fusefat shows the label, which is none
    (tmp_path / "EXAM").mkdir()
    (tmp_path / "EXAM" / "empty").write_bytes(b"")
    subprocess.run([peer("mcopy"), "-s", "-i", str(image), str(tmp_path / "EXAM"), "::/"], check=True)
    assert folders.look(image, FAT) == Folders(1)


def test_a_root_without_a_name_while_clusters_are_in_use_is_damage(tmp_path: Path) -> None:
    _write_fat(tmp_path / "image", [0, 0, _LAST, _LAST, 0x0FFFFFF7], {})
    assert folders.look(tmp_path / "image", FAT) == DAMAGED
    _write_fat(tmp_path / "image", [0, 0, 3, _LAST, 0x0FFFFFF7], {})  # the root's own, and a bad one
    assert folders.look(tmp_path / "image", FAT) == Folders(0)


@pytest.mark.parametrize("options", [(), ("-J",), ("-R",)])
def test_the_last_sector_of_any_folder_of_a_disc_is_missed(
    tmp_path: Path, content: Path, options: tuple[str, ...]
) -> None:
    disc = made_disc(content, tmp_path, *options)
    last = disc.rindex("IM000149".encode("utf-16-be") if options == ("-J",) else b"IM000149")
    assert look(tmp_path / "image", changed(disc, last // 2048 * 2048, bytes(2048)), ISO) == DAMAGED


@pytest.mark.parametrize("count", [40, 41, 42, 43, 44, 45, 84, 85, 86])
def test_folders_of_discs_are_as_long_as_their_records_need(tmp_path: Path, count: int) -> None:
    """Around the end of a sector, where a folder that is longer than that would have an empty one."""
    (tmp_path / "content" / "EXAM").mkdir(parents=True)
    for number in range(count):
        (tmp_path / "content" / "EXAM" / f"IM{number:06d}").write_bytes(b"x")
    for options in ((), ("-J",), ("-R",), ("-J", "-R"), ("-no-pad",), ("-udf",), ("-T", "-R")):
        found = look(tmp_path / "image", made_disc(tmp_path / "content", tmp_path, *options), ISO)
        assert not found.damaged, options
        assert (found.files or 0) >= count


def test_what_rock_ridge_hides_is_not_missed_where_a_driver_knows_of_it(tmp_path: Path) -> None:
    content = tmp_path / "content"
    (content / ".Trashes").mkdir(parents=True)
    for number in range(9):
        (content / f"IM{number:06d}").write_bytes(b"x")
        (content / ".Trashes" / f"one{number}").write_bytes(b"x")
        (content / f"._IM{number:06d}").write_bytes(b"x")
    assert look(tmp_path / "image", made_disc(content, tmp_path, "-R"), ISO) == Folders(9)
    assert look(tmp_path / "image", made_disc(content, tmp_path), ISO) == Folders(27)  # there they have no dot


@pytest.mark.parametrize("letters", [1, 150])  # with a long name, the word is not in the record itself
def test_the_place_from_which_rock_ridge_has_moved_a_folder_is_no_file(tmp_path: Path, letters: int) -> None:
    """Folders of ISO 9660 lie eight deep at most; a file without contents leads to the deeper ones."""
    content = tmp_path / "content"
    deep = content.joinpath(*(f"P{number}" + "x" * (letters - 1) * (number == 7) for number in range(10)))
    deep.mkdir(parents=True)
    (content / "IM2").write_bytes(b"x")
    assert look(tmp_path / "image", made_disc(content, tmp_path, "-R"), ISO) == Folders(1)
    (deep / "IM3").write_bytes(b"x")
    (content / "empty").write_bytes(b"")
    assert look(tmp_path / "image", made_disc(content, tmp_path, "-R"), ISO) == Folders(3)


@pytest.mark.parametrize("what", ["itself", "length", "sector", "way"])
def test_a_folder_of_a_disc_that_is_damaged_is_seen(tmp_path: Path, disc: bytes, what: str) -> None:
    assert look(tmp_path / "image", disc, ISO).damaged is False
    first = disc.index(b"IM000000") - 33
    start = first // 2048 * 2048
    if what == "itself":
        data = changed(disc, start, bytes(68))
    elif what == "length":
        data = changed(disc, first, b"\0")
    elif what == "sector":
        data = changed(disc, start + 2048, bytes(2048))
    else:  # nothing leads to the folder any more, and the table of paths still names it
        record = disc.rindex(b"EXAM2") - 33
        data = changed(disc, record + 33, b"\1")
        data = changed(data, record + 32, b"\1")
    assert look(tmp_path / "image", data, ISO) == DAMAGED


@pytest.mark.parametrize("kind", [FAT, ISO])
def test_a_block_that_cannot_be_read_is_damage(
    tmp_path: Path, fats: dict[int, bytes], disc: bytes, kind: FileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = fats[16] if kind is FAT else disc
    bad, read = data.index(b"IM000000") // 512 * 512, os.pread

    def pread(descriptor: int, size: int, position: int) -> bytes:
        if position <= bad < position + size:
            raise OSError(5, "Input/output error")
        return read(descriptor, size, position)

    monkeypatch.setattr(os, "pread", pread)
    assert look(tmp_path / "image", data, kind) == DAMAGED


@pytest.mark.parametrize("kind", [FAT, ISO])
def test_a_medium_that_ends_too_early_is_damage(
    tmp_path: Path, fats: dict[int, bytes], disc: bytes, kind: FileSystem
) -> None:
    data = fats[16] if kind is FAT else disc
    assert look(tmp_path / "image", data[: data.index(b"IM000000")], kind) == DAMAGED


def test_whatever_stands_on_it_the_look_ends_in_words(tmp_path: Path, fats: dict[int, bytes], disc: bytes) -> None:
    """Bytes changed at random, as dying flash has them: never an exception, and never without an end."""
    import random

    draw = random.Random(7)
    for data, kind, most in ((fats[12], FAT, 200_000), (disc, ISO, 120_000)):
        for _ in range(150):
            bad = bytearray(data[:most]) + data[most:]
            for _ in range(draw.choice((1, 8, 64))):
                bad[draw.randrange(most)] = draw.randrange(256)
            assert isinstance(look(tmp_path / "image", bytes(bad), kind), Folders)


# --- meant to harm --------------------------------------------------------------------------------------------------
# The mounter is root, and whoever made the stick may have made it for this.

_LAST = 0x0FFFFFFF


def _entry(name: str, attributes: int, first: int, size: int = 0) -> bytes:
    words = struct.pack("<H4xHL", first >> 16, first & 0xFFFF, size)
    return name.ljust(11).encode() + bytes([attributes]) + bytes(8) + words


def _write_fat(path: Path, table: Sequence[int], inside: dict[int, bytes], cluster: int = 512) -> None:
    """A FAT32 volume of these clusters."""
    sectors = -(-len(table) * 4 // 512)
    boot, data = bytearray(512), (32 + sectors) * 512
    struct.pack_into("<HBHB", boot, 11, 512, cluster // 512, 32, 1)
    struct.pack_into("<LLHHL", boot, 32, data // 512 + (len(table) - 2) * cluster // 512, sectors, 0, 0, 2)
    with path.open("wb") as image:
        image.truncate(data + (len(table) - 2) * cluster)
        image.write(boot)
        image.seek(32 * 512)
        image.write(struct.pack(f"<{len(table)}L", *table))
        for number, content in inside.items():
            image.seek(data + (number - 2) * cluster)
            image.write(content)


def _chain(first: int, count: int) -> list[int]:
    return [*range(first + 1, first + count), _LAST]


def test_folders_that_all_end_in_the_same_clusters_do_not_fill_the_memory(tmp_path: Path) -> None:
    count, long, cluster = 40, 32, 1 << 15  # 40 folders of more than a MiB, on a stick of less than three
    begin, tail = 3, 3 + count
    table = [0, 0, _LAST, *[tail] * count, *_chain(tail, long)]
    root = b"".join(_entry(f"D{number:07d}", 0x10, begin + number) for number in range(count))
    own = {begin + number: _entry(".", 0x10, begin + number) for number in range(count)}
    _write_fat(tmp_path / "image", table, {2: root, **own}, cluster)
    tracemalloc.start()
    try:
        assert folders.look(tmp_path / "image", FAT) == Folders(0)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_chains_without_an_end_in_sight_are_left_unjudged_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of a thousand old entries leads through the whole stick, and no block has to be read for it."""
    monkeypatch.setattr(folders, "_LIMIT_S", 1.0)
    clusters, cluster = 200_000, 1 << 15
    table = [0, 0, _LAST, *_chain(3, clusters - 3)]
    old = b"".join(_entry(f"F{number:07d}", 0x20, number + 4, 7) for number in range(cluster // 32 - 1))
    _write_fat(tmp_path / "image", table, {2: bytes(32) + old}, cluster)
    assert folders.look(tmp_path / "image", FAT) == Folders()


def test_a_long_name_of_a_hundred_thousand_parts_takes_no_minutes(tmp_path: Path) -> None:
    part, count, cluster = b"\1" + b"A" * 10 + b"\x0f" + b"A" * 20, 128, 1 << 15
    table = [0, 0, *_chain(2, count)]
    inside = {2 + number: part * (cluster // 32) for number in range(count)}
    _write_fat(tmp_path / "image", table, inside, cluster)
    begun = time.process_time()
    assert folders.look(tmp_path / "image", FAT) == Folders(0)
    assert time.process_time() - begun < 8


def test_a_disc_s_folder_that_is_longer_than_its_records_takes_no_minutes(tmp_path: Path, disc: bytes) -> None:
    """No maker of discs makes such."""
    volume, size, told = disc.index(b"CD001") - 1, 4 << 20, bytearray(disc)
    (table,), (root,) = struct.unpack_from("<L", disc, volume + 140), struct.unpack_from("<L", disc, volume + 158)
    place = struct.pack("<L", len(disc) // 2048)
    told[table * 2048 + 2 : table * 2048 + 6] = place  # the root comes first in the table of paths
    told[volume + 158 : volume + 162], told[volume + 166 : volume + 170] = place, struct.pack("<L", size)
    longer = disc[root * 2048 : (root + 1) * 2048].ljust(size, b"\0")
    begun = time.process_time()
    assert look(tmp_path / "image", bytes(told) + longer, ISO) == DAMAGED
    assert time.process_time() - begun < 8


@pytest.mark.parametrize("bits", [12, 16])
def test_a_table_that_is_longer_than_its_type_allows_is_not_read_to_its_end(
    tmp_path: Path, fats: dict[int, bytes], bits: int
) -> None:
    """One of 60 MB, by a number of 16 bits and sectors of 4 kB."""
    sectors, sector, clusters = 15_000, 4096, 4000 if bits == 12 else 60_000
    boot = bytearray(512)
    struct.pack_into("<HBHBHHBH", boot, 11, sector, 1, 1, 1, 128, 0, 0xF8, sectors)
    struct.pack_into("<L", boot, 32, 1 + sectors + 1 + clusters)
    with (tmp_path / "image").open("wb") as image:
        image.truncate((2 + sectors + clusters) * sector)
        image.write(boot)
    begun = time.process_time()
    tracemalloc.start()
    try:
        assert folders.look(tmp_path / "image", FAT) == Folders(0)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert time.process_time() - begun < 2
    with (tmp_path / "image").open("r+b") as image:  # so many clusters no table of 12 or 16 bits can name
        image.seek(32)
        image.write(struct.pack("<L", 1 + sectors + 1 + 70_000))
    assert folders.look(tmp_path / "image", FAT) == Folders()


@pytest.mark.parametrize("sector", [1, 16, 33])
def test_sectors_of_no_size_that_there_is_are_left_unjudged(
    tmp_path: Path, fats: dict[int, bytes], sector: int
) -> None:
    assert look(tmp_path / "image", changed(fats[16], 11, struct.pack("<H", sector)), FAT) == Folders()


def test_the_last_cluster_that_a_table_of_twelve_bits_can_name_is_known(tmp_path: Path) -> None:
    """341 numbers fill a sector of 512 bytes but for half a byte."""
    boot = bytearray(512)
    struct.pack_into("<HBHBHHBH", boot, 11, 512, 1, 1, 1, 16, 342, 0xF8, 1)
    table = bytearray(512)
    table[510:] = b"\xff\x0f"
    inside = bytes(338 * 512) + _entry(".", 0x10, 340).ljust(512, b"\0")
    data = bytes(boot) + table + _entry("EXAM", 0x10, 340).ljust(512, b"\0") + inside
    assert look(tmp_path / "image", data, FAT) == Folders(0)
