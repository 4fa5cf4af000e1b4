"""Sticks and discs with damaged folders: how often files are lost, and whether the importer notices.

    python -m bench.lost_files [--make FOLDER] [--judge FOLDER [--most N]]

Without an option both steps run, in a temporary folder.  The first makes whole media and a list of damages (bytes at
places, drawn with a fixed seed); the second mounts each as the mounter does and counts.  Two steps, so that another
machine with other drivers can judge the same media.  Needs root, loop devices and the makers of each file system.

Damaged media: a sector that holds names of images, or the name of a folder, or belongs to the tables of clusters, is
zeroed, erased (FF), filled with noise, or has one bit or byte changed.  "lost" counts media of which the driver shows
not every image that was written, neither by its name nor by its contents: what has only its name left is refused by
the door, which is not measured here.  "noticed" by the space in use or a read error; DICOMDIR ("list") and fsck are
counted beside them.  Whole media: fresh, much used, and with what an interrupted writing leaves.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from firmware_app.cases.errors import (
    StickError,
)
from firmware_app.ingest import stick_files, stick_space
from firmware_app.ingest.stick_files import order_files
from firmware_app.ingest.stick_mounting import FileSystem
from tests.faults import sticks
from tests.faults.loopfs import run
from tests.objects import file_of, film, new_uid
from tests.unit.test_dicomdir import dicomdir, record

FAT, EXFAT, NTFS, ISO = FileSystem.FAT, FileSystem.EXFAT, FileSystem.NTFS, FileSystem.ISO9660
EXAMS, FILMS, TURNS = 3, 40, 40
MEDIA: Final = {
    "FAT12": FAT,
    "FAT16": FAT,
    "FAT32": FAT,
    "exFAT": EXFAT,
    "NTFS": NTFS,
    "ISO 9660": ISO,
    "Joliet": ISO,
}
_FATS: Final = {"FAT12": (12, 24, 16), "FAT16": (16, 64, 4), "FAT32": (32, 160, 2)}  # bits, MB, sectors in a cluster
_FSCK: Final = {FAT: ("fsck.fat", "-n"), EXFAT: ("fsck.exfat", "-n"), NTFS: ("ntfsfix", "-n")}
_UID: Final = re.compile(rb"\x02\x00\x03\x00UI..([0-9.]+)")
LIST: Final = "media.json"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.lost_files", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--make", type=Path, metavar="FOLDER")
    parser.add_argument("--judge", type=Path, metavar="FOLDER")
    parser.add_argument("--most", type=int, default=TURNS, metavar="N", help="damages of each medium that are judged")
    options = parser.parse_args()
    if options.make:
        make(options.make)
    elif options.judge:
        judge(options.judge, options.most)
    else:
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder))
            judge(Path(folder), options.most)
    return 0


# --- make -----------------------------------------------------------------------------------------------------------


def make(folder: Path) -> None:
    """Write the media and the list of damages of each: `{name: {image, kind, images, damages}}`."""
    folder.mkdir(parents=True, exist_ok=True)
    content, media = folder / "content", {}
    exams(content)
    every = images_below(content)
    for name, kind in MEDIA.items():
        image = fresh(folder / name.replace(" ", ""), name, content)
        draw = random.Random(name)
        media[name] = {
            "image": image.name,
            "kind": kind.value,
            "images": every,
            "damages": list(damages(image, kind, draw)),
        }
        for state, change in WHOLE[kind].items():
            used = image.with_suffix(f".{state.replace(' ', '-')}")
            shutil.copy(image, used)
            left = change(used, content) or every
            media[f"{name}, {state}"] = {"image": used.name, "kind": kind.value, "images": left, "damages": [[]]}
    (folder / LIST).write_text(json.dumps(media))


def exams(content: Path) -> None:
    """Three examinations of forty films of 33 to 130 kB, a list of them, a long Chinese name and a hidden folder."""
    draw, records = random.Random(5), [record("PATIENT")]
    for exam in range(EXAMS):
        study, place = new_uid(), content / f"EXAM{exam}"
        place.mkdir(parents=True)
        records.append(record("STUDY", study=study))
        for number in range(FILMS):
            sop = new_uid()
            data = film(sop_instance=sop, study=study, rows=draw.randrange(128, 512), columns=128)
            (place / f"IM{number:06d}").write_bytes(file_of(data, sop_instance=sop))
            records.append(record("IMAGE", file=f"{place.name}\\IM{number:06d}"))
    (content / "DICOMDIR").write_bytes(dicomdir(*records))
    (content / "一张很长名字的胸片和它的说明.txt").write_text("x" * 700)
    (content / "System Volume Information").mkdir()
    (content / "System Volume Information" / "one").write_bytes(b"x" * 300_000)


def images_below(root: Path) -> dict[str, str]:
    """SOP Instance UIDs and lower-case names of the images that the driver shows (plain ISO 9660 has one case only)."""
    images = {}
    for one in stick_files.search_stick(root).files:
        with contextlib.suppress(OSError), one.path.open("rb") as handle:
            if uid := _UID.search(handle.read(400)):
                images[uid[1].decode()] = "/".join(one.parts).casefold()
    return images


def fresh(image: Path, name: str, content: Path) -> Path:
    if name in _FATS:
        bits, megabytes, sectors = _FATS[name]
        with image.open("wb") as handle:
            handle.truncate(megabytes << 20)
        run("mkfs.vfat", "-F", str(bits), "-s", str(sectors), "-n", "STICK", str(image))
        run("mcopy", "-s", "-Q", "-i", str(image), *sorted(map(str, content.iterdir())), "::/")
        return image
    if MEDIA[name] is ISO:
        options = ("-J",) if name == "Joliet" else ()
        return sticks.disc(image, content, "-input-charset", "utf-8", *options)
    return sticks.written(image, content, MEDIA[name])


def damages(image: Path, kind: FileSystem, draw: random.Random) -> Iterator[list[tuple[int, str]]]:
    """Damages, each a list of (offset, bytes to write there in hexadecimal)."""
    data = image.read_bytes()
    sector = 2048 if kind is ISO else 512
    names = [b"IM0000", "IM0000".encode("utf-16-le"), "IM0000".encode("utf-16-be")]
    parents = [b"EXAM", "EXAM".encode("utf-16-le"), "EXAM".encode("utf-16-be")]
    within = sorted({place // sector * sector for name in names for place in _places(data, name)})
    within = [place for place in within if b"\\IM" not in data[place : place + sector]]
    above = sorted({place // sector * sector for name in parents for place in _places(data, name)})
    above = [place for place in above if b"\\IM" not in data[place : place + sector]]
    tables = range(0, min(within), sector)
    for turn in range(TURNS):
        place = draw.choice(above if turn % 6 == 4 else tables if turn % 6 == 5 else within)
        old = data[place : place + sector]
        at = draw.randrange(sector)
        new = (
            bytes(sector),
            b"\xff" * sector,
            draw.randbytes(sector),
            old[:at] + bytes([old[at] ^ 1 << draw.randrange(8)]) + old[at + 1 :],
            old[:at] + draw.randbytes(1) + old[at + 1 :],
        )[draw.randrange(5)]
        yield [(place, new.hex())]


def _places(data: bytes, what: bytes) -> Iterator[int]:
    place = data.find(what)
    while place >= 0:
        yield place
        place = data.find(what, place + 1)


# Undamaged media after use.  Each function returns the images that are left, None for all.


def _deleted(image: Path, content: Path) -> dict[str, str] | None:
    """Half of an examination deleted."""
    names = [f"IM{number:06d}" for number in range(FILMS // 2)]
    run("mdel", "-i", str(image), *(f"::/EXAM1/{name}" for name in names))
    with sticks.stick(image, content.parent / "usb") as plugged:
        plugged.plug(FAT)
        return images_below(plugged.files)


def _orphaned(image: Path, content: Path) -> dict[str, str] | None:
    """A power cut while a film was written: its clusters are in use, but its name is missing."""
    run("mcopy", "-i", str(image), str(content / "EXAM0" / "IM000000"), "::/LATEFILM.DCM")
    data = bytearray(image.read_bytes())
    data[next(_places(bytes(data), b"LATEFILMDCM"))] = 0xE5
    image.write_bytes(data)
    return None


def _bin(image: Path, content: Path) -> dict[str, str] | None:
    """A film in the recycle bin of Windows."""
    run("mmd", "-i", str(image), "::/$RECYCLE.BIN")
    run("mcopy", "-i", str(image), str(content / "EXAM0" / "IM000000"), "::/$RECYCLE.BIN/$RA.DCM")
    return None


def _worn(image: Path, content: Path) -> dict[str, str] | None:
    """A hundred clusters behind the films are marked as bad, as a full format does with unwritable ones."""
    sectors = content.parent / "sectors"
    sectors.write_text("\n".join(map(str, range(41_000, 42_600, 16))))
    command = ["mbadblocks", "-i", str(image), "-s", str(sectors), "::"]
    assert subprocess.run(command, check=False).returncode == 1  # some were marked
    return None


def _churned(kind: FileSystem) -> Callable[[Path, Path], dict[str, str] | None]:
    def churn(image: Path, content: Path) -> dict[str, str] | None:
        """Much written, renamed and deleted, with long names; one examination is deleted."""
        draw = random.Random(3)
        with sticks.opened(image, kind) as place:
            for number in range(400):
                (place / "EXAM0" / f"{'胸片' * draw.randrange(1, 30)}{number}").write_bytes(bytes(draw.randrange(9000)))
            for path in sorted((place / "EXAM0").iterdir()):
                if not path.name.startswith("IM") and draw.random() < 0.7:
                    path.unlink()
                elif not path.name.startswith("IM"):
                    path.rename(place / "EXAM1" / path.name)
            shutil.rmtree(place / "EXAM2")
            return images_below(place)

    return churn


def _disc(*options: str) -> Callable[[Path, Path], dict[str, str] | None]:
    def master(image: Path, content: Path) -> dict[str, str] | None:
        """Formatted again with other *options*."""
        sticks.disc(image, content, "-input-charset", "utf-8", *options)
        return None

    return master


WHOLE: Final[dict[FileSystem, dict[str, Callable[[Path, Path], dict[str, str] | None]]]] = {
    FAT: {"half deleted": _deleted, "interrupted": _orphaned, "bin": _bin, "bad clusters": _worn},
    EXFAT: {"much used": _churned(EXFAT)},
    NTFS: {"much used": _churned(NTFS)},
    ISO: {"rock ridge": _disc("-R"), "both": _disc("-J", "-R"), "udf": _disc("-udf", "-J"), "no pad": _disc("-no-pad")},
}


# --- judge ----------------------------------------------------------------------------------------------------------


def judge(folder: Path, most: int) -> None:
    """Mount each medium, and print what was noticed."""
    rows: dict[str, Counter[str]] = {}
    for name, one in json.loads((folder / LIST).read_text()).items():
        kind, data = FileSystem(one["kind"]), (folder / one["image"]).read_bytes()
        for damage in one["damages"][:most]:
            row = rows.setdefault(name, Counter())
            with tempfile.TemporaryDirectory(dir="/dev/shm") as scratch:
                image = Path(scratch, "image")
                image.write_bytes(data)
                with image.open("r+b") as handle:
                    for place, new in damage:
                        handle.seek(place)
                        handle.write(bytes.fromhex(new))
                row["media"] += 1
                _count(row, *_judged(image, kind, Path(scratch)), one["images"])
    columns = (
        "media",
        "mounted",
        "lost",
        "noticed",
        "space",
        "read error",
        "list",
        "fsck",
        "false alarm",
        "false fsck",
    )
    print(f"{'medium':<24}" + "".join(f"{column:>12}" for column in columns))
    for name, row in rows.items():
        print(f"{name:<24}" + "".join(f"{row[column]:>12}" for column in columns))
    total = sum((row for name, row in rows.items() if "," not in name), Counter[str]())
    print(f"{'damaged, together':<24}" + "".join(f"{total[column]:>12}" for column in columns))


def _judged(image: Path, kind: FileSystem, scratch: Path) -> tuple[dict[str, str] | None, set[str], set[str]]:
    """The images that are shown (None: not mounted), the names of all files, and the checks that noticed a loss."""
    noticed = set[str]()
    if kind in _FSCK and shutil.which(_FSCK[kind][0]):
        with contextlib.suppress(subprocess.TimeoutExpired):
            done = subprocess.run([*_FSCK[kind], str(image)], capture_output=True, check=False, timeout=20)
            if done.returncode:
                noticed.add("fsck")
    with sticks.stick(image, scratch / "usb") as plugged:
        try:
            plugged.plug(kind)
        except StickError:
            return None, set(), noticed
        try:
            shown = stick_files.search_stick(plugged.files)
        except StickError:  # the root cannot be read
            return {}, set(), {*noticed, "read error"}
        if shown.unread:
            noticed.add("read error")
        if order_files(shown.files).listed_more:
            noticed.add("list")
        if stick_space.has_lost(plugged.files, kind.value):
            noticed.add("space")
        names = {"/".join(one.parts).casefold() for one in shown.files}
        return images_below(plugged.files), names, noticed


def _count(
    row: Counter[str], shown: dict[str, str] | None, names: set[str], noticed: set[str], written: dict[str, str]
) -> None:
    if shown is None:
        return
    row["mounted"] += 1
    is_lost = any(uid not in shown and name not in names for uid, name in written.items())
    is_noticed = bool(noticed & {"space", "read error"})
    row.update(noticed if is_lost else ())
    row["lost"] += is_lost
    row["noticed"] += is_lost and is_noticed
    if is_lost and not is_noticed:
        print("not noticed:", len(written) - len(shown), "of", len(written), sorted(noticed), flush=True)
    row["false alarm"] += not is_lost and is_noticed
    row["false fsck"] += not is_lost and "fsck" in noticed


if __name__ == "__main__":
    sys.exit(main())
