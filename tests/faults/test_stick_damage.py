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

from firmware_app.cases.usb_import import StickStage
from firmware_app.ingest import stick_space
from firmware_app.ingest.errors import StickNotMounted
from firmware_app.ingest.stick_files import search_stick
from firmware_app.ingest.stick_mounting import FileSystem
from tests.faults import sticks
from tests.faults.sticks import box, importing, stick
from tests.objects import file_of, film, new_uid
from tests.small_disk import small_disk

FAT, EXFAT, NTFS = FileSystem.FAT, FileSystem.EXFAT, FileSystem.NTFS
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
    tmp_path: Path, memory: Path, kind: FileSystem, seed: int, cluster: int
) -> None:
    """Names long and Chinese, files and folders deleted and renamed, and folders in many pieces."""
    draw = random.Random(seed)
    image = sticks.made(memory / "image", kind, "-c", str(cluster))
    for _ in range(2):
        with sticks.opened(image, kind) as place:
            churn(draw, place, 2000 if seed == 2 else 300)
    with stick(image, tmp_path / "usb") as plugged:
        plugged.plug(kind)
        assert not search_stick(plugged.files).unread
        assert not stick_space.has_lost(plugged.files, kind.value)


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


# --- damaged --------------------------------------------------------------------------------------------------------


@pytest.fixture
def content(memory: Path) -> Path:
    """Sixty images of one patient in a folder, and one beside it."""
    content, study = memory / "content", new_uid()
    (content / "EXAM").mkdir(parents=True)
    for number in range(FILMS):
        place = content / "EXAM" / f"IM{number:06d}" if number else content / "FIRST"
        sop = new_uid()
        place.write_bytes(file_of(film(sop_instance=sop, study=study, rows=128, columns=128), sop_instance=sop))
    return content


def a_wiped_folder(data: bytearray) -> None:
    """Every block of the folder is zeroed: the driver shows an empty one."""
    for block in {at // 4096 * 4096 for at in _places(data, _utf16("IM0000"))}:
        data[block : block + 4096] = bytes(4096)


def a_map(data: bytearray) -> None:
    """Which blocks of a folder's index are in use ($BITMAP, attribute B0): none."""
    record = next(at // 1024 * 1024 for at in _places(data, _utf16("EXAM")) if data[at // 1024 * 1024 :][:4] == b"FILE")
    at = record + data[record + 20]
    while data[at] != 0xB0:
        at += int.from_bytes(data[at + 4 : at + 8], "little")
    at += data[at + 20]
    data[at : at + 8] = bytes(8)


def without_a_cluster(data: bytearray) -> None:
    """The folder of nearly all images leads nowhere; drivers show it as an empty one."""
    at = next(_places(data, b"EXAM       "))
    data[at + 20 : at + 22] = data[at + 26 : at + 28] = bytes(2)


def without_its_end(data: bytearray) -> None:
    """The last sector of the folder is zeroed: the listing is shorter, and looks whole."""
    last = max(next(_places(data, f"IM{number:06d}".encode())) for number in range(1, FILMS)) // 512 * 512
    data[last : last + 512] = bytes(512)


@pytest.mark.parametrize(
    ("kind", "damage"), [(FAT, without_a_cluster), (FAT, without_its_end), (EXFAT, a_wiped_folder), (NTFS, a_map)]
)
def test_a_folder_that_a_driver_shows_shorter_leaves_no_case_that_looks_whole(
    tmp_path: Path, memory: Path, content: Path, kind: FileSystem, damage: Callable[[bytearray], None]
) -> None:
    image = written(kind, memory / "image", content)
    config, _, clinical = box(memory / "state")
    data = bytearray(image.read_bytes())
    damage(data)
    image.write_bytes(data)
    with stick(image, tmp_path / "usb") as plugged:
        plugged.plug()
        shown = len(list((plugged.files / "EXAM").iterdir()))
        assert shown < FILMS - 1  # and no error
        ended = importing(config, plugged)
    assert (ended.stage, ended.new, dict(ended.refused)) == (StickStage.UNFINISHED, shown + 1, {})
    assert ended.reason is not None
    assert ended.reason.code == "stick.damaged"
    assert [bool(case.incomplete) for case in clinical.cases()] == [True]
    clinical.database.close()


@pytest.mark.parametrize("kind", [FAT, EXFAT, NTFS])
def test_with_any_sector_of_its_folders_damaged_a_stick_is_not_taken_for_whole_unless_all_is_there(
    tmp_path: Path, memory: Path, content: Path, kind: FileSystem
) -> None:
    image = written(kind, memory / "image", content)
    config, _, clinical = box(memory / "state")
    data, draw, ends = image.read_bytes(), random.Random(11), Counter[str]()
    name = b"IM0000" if kind is FAT else _utf16("IM0000")
    sectors = sorted({at // 512 * 512 for at in _places(data, name)})
    for turn in range(8):
        at = draw.choice(sectors)
        new = (bytes(512), b"\xff" * 512, draw.randbytes(512))[turn % 3]
        image.write_bytes(data[:at] + new + data[at + 512 :])
        with stick(image, tmp_path / "usb") as plugged:
            try:
                plugged.plug(kind)
            except StickNotMounted:
                ends["not mounted"] += 1
                continue
            ended = importing(config, plugged)
            ends[ended.reason.code if ended.reason else "all is there"] += 1
            assert ended.stage is not StickStage.DONE or ended.new + ended.known == FILMS, (turn, at)
    assert ends["all is there"] < 8
    clinical.database.close()


def written(kind: FileSystem, image: Path, content: Path) -> Path:
    return sticks.fat(image, content) if kind is FAT else sticks.written(image, content, kind)


def _utf16(text: str) -> bytes:
    return text.encode("utf-16-le")


def _places(data: bytes | bytearray, what: bytes) -> Iterator[int]:
    at = data.find(what)
    while at >= 0:
        yield at
        at = data.find(what, at + 1)
