"""Every available image, decoded by the box and by another decoder: equal, or refused with a code.

python -m tests.wire.decode_table [FOLDER ...] [--summary]

FOLDER is ../shared/data/dicom where that is there; pydicom's own test files (those inside its wheel, nothing is
downloaded) and the package pydicom-data are always added.  What is compared are the stored words before any colour or
grey transform: exactly for lossless transfer syntaxes, within two levels for lossy ones.  The process has the memory
that a decode child of the box has, and no more ([reader] memory_mb).  Ends with 1 when a frame differs and nothing
explains it, or when a peer is missing.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

import numpy as np
import pydicom

from firmware_app.core import child_loop
from firmware_app.core import settings as config
from firmware_app.core.errors import ImagingError
from firmware_app.dicom.errors import IntakeError
from firmware_app.dicom.header import examine_file
from firmware_app.imaging import dicom_source
from firmware_app.imaging.codec.stored_frames import FrameReader
from tests.peers import REPOSITORY
from tests.wire.decode_peers import PeerFailed, PeerMissing, Words, peer

LEVELS: Final = 2
_BESIDE: Final = {".py", ".pyc", ".txt", ".json", ".icc", ".gz", ".dump", ".md"}
# A frame of these may differ a little between two right decoders: their inverse transforms are not exact.
_LOSSY: Final = tuple(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 53, 55, 91, 203))

_DOSE: Final = "dcmtk swaps 16-bit halves of 32-bit words; ours equal those of the little-endian original"
EXPLAINED: Final = {"rtdose_expb.dcm": ("rtdose.dcm", _DOSE), "rtdose_expb_1frame.dcm": ("rtdose_1frame.dcm", _DOSE)}
"""File name → a file beside it that holds the same frames, which ours must equal, and why the peer's do not."""

Verdict = Literal["equal", "within 2", "refused", "no image", "no peer", "explained", "DIFFERS"]


@dataclass(frozen=True)
class Line:
    """What became of one file."""

    name: str
    syntax: str
    verdict: Verdict
    frames: int = 0
    size: str = ""
    peer: str = ""
    most: float = 0
    note: str = ""


def files(folders: Iterable[Path]) -> list[Path]:
    """The files below *folders* that are meant to be DICOM, in a stable order."""
    return [
        path
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix not in _BESIDE and path.name != "README"
    ]


def list_public_folders() -> list[Path]:
    """The folders that pip brings: pydicom's test files and the package pydicom-data."""
    folders = [
        Path(pydicom.__file__).parent / "data" / "test_files",
        Path(pydicom.__file__).parent / "data" / "charset_files",
    ]
    spec = find_spec("data_store")
    if spec is not None and spec.origin is not None:
        folders.append(Path(spec.origin).parent / "data")
    return folders


def shared() -> Path:
    """The folder of images outside the repository."""
    return Path(os.environ.get("LANTERN_SHARED") or REPOSITORY.parent / "shared") / "data" / "dicom"


def compare_file(path: Path) -> Line:
    """Decode every frame of the file at *path* twice and compare; raises `PeerMissing`."""
    name, syntax = path.name.split("__")[-1], "?"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with dicom_source.open_source(path) as image:
                syntax = image.transfer_syntax.name
                reader = FrameReader(image)
                try:
                    return _compare_frames(name, path, image, reader)
                finally:
                    reader.close()
        except ImagingError as error:
            verdict: Verdict = "no image" if error.code == "imaging.no_pixels" else "refused"
            return Line(name, syntax, verdict, note=f"{error.code}; at the door: {_door(path)}")


def _compare_frames(name: str, path: Path, image: dicom_source.PixelSource, reader: FrameReader) -> Line:
    size = f"{image.columns} × {image.rows} × {image.samples}, {image.stored}/{image.allocated} bits"
    allowed = LEVELS if image.transfer_syntax in _LOSSY else 0
    most, by = 0.0, ""
    try:
        with peer(path, image, reader) as other:
            by = other.name
            for index in range(image.frames):
                most = max(most, _difference(_words(reader, index), other.frame(index)))
    except PeerFailed as failed:
        return Line(name, image.transfer_syntax.name, "no peer", image.frames, size, by, 0, f"the peer: {failed}")
    verdict: Verdict = "equal" if most == 0 else "within 2" if most <= allowed else "DIFFERS"
    note = ""
    if verdict == "DIFFERS" and name in EXPLAINED and _same_as(path.with_name(EXPLAINED[name][0]), image, reader):
        verdict, note = "explained", EXPLAINED[name][1]
    return Line(name, image.transfer_syntax.name, verdict, image.frames, size, by, most, note)


def _same_as(original: Path, image: dicom_source.PixelSource, reader: FrameReader) -> bool:
    with dicom_source.open_source(original) as twin:
        other = FrameReader(twin)
        return twin.frames == image.frames and all(
            _difference(_words(reader, index), _words(other, index)) == 0 for index in range(image.frames)
        )


def _words(reader: FrameReader, index: int) -> Words:
    try:
        return reader.frame(index)
    except dicom_source.HEADER_ERRORS as error:
        raise AssertionError(f"frame {index} raised {type(error).__name__}") from error


def _difference(ours: Words, theirs: Words) -> float:
    """The largest difference of two frames as numbers; infinite when their shapes are not the same."""
    if ours.shape != theirs.shape:
        return float("inf")
    ours = ours.astype(ours.dtype.newbyteorder("="))
    if ours.dtype.kind == "f" or (theirs.dtype.kind == "u" and ours.dtype.kind == "i"):
        ours = ours.view(f"u{ours.dtype.itemsize}")
    elif theirs.dtype.kind == "i" and ours.dtype.kind == "u":
        theirs = theirs.astype(ours.dtype)
    return float(np.abs(ours.astype(np.float64) - theirs.astype(np.float64)).max(initial=0))


def _door(path: Path) -> str:
    try:
        examine_file(path)
    except IntakeError as error:
        return error.code
    return "taken"


def table(lines: Sequence[Line]) -> Iterator[str]:
    """One line of text for each file."""
    for line in lines:
        most = f"{line.most:g}" if line.peer else ""
        yield (
            " | ".join(
                (line.verdict.ljust(9), line.name[:44].ljust(44), line.syntax[:40].ljust(40), line.peer.ljust(15))
            )
            + f" | {line.frames:4d} | {most:>4} | {line.size} {line.note}"
        )


def summary(lines: Sequence[Line]) -> Iterator[str]:
    """A Markdown table by transfer syntax, of the files that hold an image."""
    grouped: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        if line.verdict != "no image":
            grouped[line.syntax].append(line)
    yield "| transfer syntax | files | frames | the same | within 2 levels | refused | explained | peers |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for syntax, group in sorted(grouped.items(), key=lambda item: (-len(item[1]), item[0])):
        count = Counter(line.verdict for line in group)
        peers = ", ".join(sorted({line.peer for line in group if line.peer}))
        frames = sum(line.frames for line in group)
        others = count["explained"] + count["no peer"] + count["DIFFERS"]
        yield (
            f"| {syntax} | {len(group)} | {frames} | {count['equal']} | {count['within 2']} | {count['refused']} "
            f"| {others} | {peers} |"
        )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.wire.decode_table", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("folder", type=Path, nargs="*", help="of DICOM files (default: ../shared/data/dicom)")
    parser.add_argument("--summary", action="store_true", help="print only the summary")
    options = parser.parse_args()
    child_loop.confine(config.ReaderSection().memory_mb)
    folders = options.folder or [shared()]
    for folder in folders:
        if not folder.is_dir():
            print(f"{folder.name}: no such folder, left out", file=sys.stderr)
    try:
        lines = [
            compare_file(path)
            for path in files([*list_public_folders(), *(folder for folder in folders if folder.is_dir())])
        ]
    except PeerMissing as missing:
        print(f"missing: {missing}", file=sys.stderr)
        return 1
    if not options.summary:
        print(*table(lines), sep="\n")
        print()
    print(*summary(lines), sep="\n")
    wrong = [line.name for line in lines if line.verdict in ("DIFFERS", "no peer")]
    without = sum(line.verdict == "no image" for line in lines)
    print(f"\n{len(lines)} files, {without} of them without an image; {len(wrong)} disagreements unexplained.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
