"""Sticks whose folders are damaged, as flash that grows old has them: none passes for whole with files missing on it.

Beside them whole ones, much written to, of which none may be called damaged.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from firmware_app.errors import StickNotMounted
from firmware_app.intake.stick import folders
from firmware_app.intake.stick.file_system import FileSystem
from firmware_app.intake.stick.medium import Folders
from firmware_app.intake.stick.search import search
from firmware_app.store.disk.stick_status import Stage
from tests.faults import sticks
from tests.faults.sticks import box, importing, stick
from tests.objects import file_of, film, new_uid
from tests.small_disk import small_disk

EXFAT, NTFS = FileSystem.EXFAT, FileSystem.NTFS
HANZI = "胸片检查肺结节张李王医院影像"
FILMS = 60


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A disk that needs no waiting for, where what counts is not durability."""
    with small_disk(tmp_path / "memory", "size=400m") as place:
        yield place


# --- whole ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [EXFAT, NTFS])
@pytest.mark.parametrize(("seed", "cluster"), [(1, 512), (2, 4096), (3, 32768)])
def test_a_whole_stick_that_was_much_written_to_is_never_called_damaged(
    memory: Path, kind: FileSystem, seed: int, cluster: int
) -> None:
    """Names long and Chinese, files and folders deleted and renamed, and folders in many pieces."""
    draw = random.Random(seed)
    image = sticks.made(memory / "image", kind, "-c", str(cluster))
    for _ in range(2):
        with sticks.opened(image, kind) as place:
            churn(draw, place, 2000 if seed == 2 else 300)
    with sticks.opened(image, kind) as place:
        shown = search(place)
    assert not shown.unread
    assert folders.look(image, kind) == Folders(len(shown.files))


def churn(draw: random.Random, place: Path, count: int) -> None:
    within, files = [place], list[Path]()
    for number in range(8):
        within.append(draw.choice(within) / f"{name(draw)[:40]}{number}")
        within[-1].mkdir(exist_ok=True)
    for _ in range(count):
        files.append(draw.choice(within) / name(draw))
        files[-1].write_bytes(bytes(128) + b"DICM" + draw.randbytes(draw.choice((10, 300, 3000))))
        what = draw.random()
        if what < 0.15:
            files.pop(draw.randrange(len(files))).unlink()
        elif what < 0.25:
            old = files.pop(draw.randrange(len(files)))
            files.append(old.rename(draw.choice(within) / name(draw)))
    shutil.rmtree(within[-1])
    for hidden in ("System Volume Information", ".Trashes"):
        (place / hidden).mkdir(exist_ok=True)
        (place / hidden / "one").write_bytes(b"x")


def name(draw: random.Random) -> str:
    number = draw.randrange(1 << 40)
    return draw.choice(
        (
            f"IM{number % 1_000_000:06d}",
            f"1.2.840.{number}.{number * 7}.{number * 11}.dcm",
            "".join(draw.choice(HANZI) for _ in range(draw.randrange(1, 40))) + f"{number}.dcm",
            "x" * draw.randrange(1, 200) + str(number),
        )
    )


@pytest.mark.parametrize("empty", [(), ("README", "MARK.DCM")])
def test_no_label_stands_for_a_file_that_is_not_shown(
    tmp_path: Path, memory: Path, content: Path, empty: tuple[str, ...]
) -> None:
    """fusefat shows the name of a FAT stick as an empty file."""
    for name in empty:
        (content / name).write_bytes(b"")
    with stick(sticks.fat(memory / "image", content), tmp_path / "usb") as plugged:
        plugged.plug()
        with plugged.handed() as handed:
            shown = search(handed.place)
            assert not handed.word.has_lost(shown)
            shown.files.remove(next(one for one in shown.files if one.size))
            assert handed.word.has_lost(shown)


# --- damaged --------------------------------------------------------------------------------------------------------


@pytest.fixture
def content(memory: Path) -> Path:
    """Sixty images of one patient in a folder, and one beside it."""
    content, study = memory / "content", new_uid()
    (content / "EXAM").mkdir(parents=True)
    for number in range(FILMS):
        place = content / "EXAM" / f"IM{number:06d}" if number else content / "FIRST"
        sop = new_uid()
        place.write_bytes(file_of(film(sop_instance=sop, study=study, rows=8, columns=8), sop_instance=sop))
    return content


def test_a_folder_of_exfat_that_was_wiped_out_looks_empty_to_its_driver_and_not_to_the_box(
    tmp_path: Path, memory: Path, content: Path
) -> None:
    image = sticks.written(memory / "image", content, EXFAT)
    config, _, clinical = box(memory / "state")
    data = bytearray(image.read_bytes())
    for block in {at // 4096 * 4096 for at in _places(data, _utf16("IM0000"))}:
        data[block : block + 4096] = bytes(4096)
    image.write_bytes(data)
    with stick(image, tmp_path / "usb") as plugged:
        plugged.plug()
        assert list((plugged.files / "EXAM").iterdir()) == []
        ended = importing(config, plugged)
    assert (ended.stage, ended.new) == (Stage.UNFINISHED, 1)
    assert ended.reason is not None
    assert ended.reason.code == "stick.damaged"
    assert [bool(case.incomplete) for case in clinical.cases()] == [True]
    clinical.database.close()


def a_kind(data: bytearray) -> None:
    """A name's kind: for DOS alone, as second names are.  One bit."""
    at = next(at for at in _places(data, _utf16("IM000030")) if data[at // 4096 * 4096 :][:4] == b"INDX")
    data[at - 1] = 2


def a_map(data: bytearray) -> None:
    """Which blocks of a folder's index are in use ($BITMAP, attribute B0): none."""
    record = next(at // 1024 * 1024 for at in _places(data, _utf16("EXAM")) if data[at // 1024 * 1024 :][:4] == b"FILE")
    at = record + data[record + 20]
    while data[at] != 0xB0:
        at += int.from_bytes(data[at + 4 : at + 8], "little")
    at += data[at + 20]
    data[at : at + 8] = bytes(8)


@pytest.mark.parametrize("damage", [a_kind, a_map])
def test_names_that_ntfs_3g_passes_over_leave_no_case_that_looks_whole(
    tmp_path: Path, memory: Path, content: Path, damage: Callable[[bytearray], None]
) -> None:
    image = sticks.written(memory / "image", content, NTFS)
    config, _, clinical = box(memory / "state")
    data = bytearray(image.read_bytes())
    damage(data)
    image.write_bytes(data)
    with stick(image, tmp_path / "usb") as plugged:
        plugged.plug()
        shown = len(list((plugged.files / "EXAM").iterdir()))
        assert shown < FILMS - 1  # and no error
        ended = importing(config, plugged)
    assert (ended.stage, ended.new) == (Stage.UNFINISHED, shown + 1)
    assert ended.reason is not None
    assert ended.reason.code == "stick.damaged"
    assert [bool(case.incomplete) for case in clinical.cases()] == [True]
    clinical.database.close()


@pytest.mark.parametrize("kind", [EXFAT, NTFS])
def test_with_any_sector_of_its_folders_damaged_a_stick_is_not_taken_for_whole_unless_all_is_there(
    tmp_path: Path, memory: Path, content: Path, kind: FileSystem
) -> None:
    image = sticks.written(memory / "image", content, kind)
    config, _, clinical = box(memory / "state")
    data, draw, ends = image.read_bytes(), random.Random(11), Counter[str]()
    sectors = sorted({at // 512 * 512 for at in _places(data, _utf16("IM0000"))})
    for turn in range(12):
        at = draw.choice(sectors)
        new = (bytes(512), b"\xff" * 512, draw.randbytes(512))[turn % 3]
        image.write_bytes(data[:at] + new + data[at + 512 :])
        # exfat-fuse says so itself; the kernel's driver, which is not on every machine, does not.
        assert kind is NTFS or folders.look(image, kind).damaged, (turn, at)
        with stick(image, tmp_path / "usb") as plugged:
            try:
                plugged.plug(kind)
            except StickNotMounted:
                ends["not mounted"] += 1
                continue
            ended = importing(config, plugged)
            ends[ended.reason.code if ended.reason else "all is there"] += 1
            assert ended.stage is not Stage.DONE or ended.new + ended.known == FILMS, (turn, at)
    print(kind.value, dict(ends))
    assert ends["all is there"] < 12
    clinical.database.close()


def without_a_cluster(data: bytearray) -> None:
    """The folder of nearly all images leads nowhere; drivers show it as an empty one."""
    at = next(_places(data, b"EXAM       "))
    data[at + 20 : at + 22] = data[at + 26 : at + 28] = bytes(2)


def without_its_end(data: bytearray) -> None:
    """The last sector of the folder is wiped out: the listing is shorter, and looks whole."""
    size = 2048 if data[32769:32774] == b"CD001" else 512
    last = max(next(_places(data, f"IM{number:06d}".encode())) for number in range(1, FILMS)) // size * size
    data[last : last + size] = bytes(size)


@pytest.mark.parametrize(
    ("kind", "damage"),
    [
        (FileSystem.FAT, without_a_cluster),
        (FileSystem.FAT, without_its_end),
        (FileSystem.ISO9660, without_its_end),
    ],
)
def test_a_folder_that_a_driver_shows_shorter_leaves_no_case_that_looks_whole(
    tmp_path: Path, memory: Path, content: Path, kind: FileSystem, damage: Callable[[bytearray], None]
) -> None:
    maker = sticks.fat if kind is FileSystem.FAT else sticks.disc
    image = maker(memory / "image", content)
    config, _, clinical = box(memory / "state")
    data = bytearray(image.read_bytes())
    damage(data)
    image.write_bytes(data)
    with stick(image, tmp_path / "usb") as plugged:
        plugged.plug()
        shown = len(list((plugged.files / ("EXAM" if kind is FileSystem.FAT else "exam")).iterdir()))
        assert shown < FILMS - 1  # and no error
        ended = importing(config, plugged)
    assert (ended.stage, ended.new, dict(ended.refused)) == (Stage.UNFINISHED, shown + 1, {})
    assert ended.reason is not None
    assert ended.reason.code == "stick.damaged"
    assert [bool(case.incomplete) for case in clinical.cases()] == [True]
    clinical.database.close()


def _utf16(text: str) -> bytes:
    return text.encode("utf-16-le")


def _places(data: bytes | bytearray, what: bytes) -> Iterator[int]:
    at = data.find(what)
    while at >= 0:
        yield at
        at = data.find(what, at + 1)
