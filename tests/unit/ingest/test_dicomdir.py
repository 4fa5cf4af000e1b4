"""The list that a medium carries: followed for its order, believed in nothing, of use as far as it is whole."""

from __future__ import annotations

from pathlib import Path
from struct import pack

import pydicom
import pytest

from firmware_app.ingest import stick_files as lists
from firmware_app.ingest.stick_files import ListedImage, list_images, order_files, search_stick
from tests.objects import EXPLICIT, element, file_of, item, sequence
from tests.peers import pydicom_file

DIRECTORY = "1.2.840.10008.1.3.10"


def record(kind: str, *, study: str = "", file: str = "", in_use: bool = True, defined: bool = True) -> bytes:
    """One directory record (PS3.3 F.3)."""
    content = element(0x00041400, b"UL", bytes(4)) + element(0x00041410, b"US", b"\xff\xff" if in_use else b"\0\0")
    content += element(0x00041430, b"CS", kind.encode())
    content += element(0x00041500, b"CS", file.encode()) if file else b""
    content += element(0x0020000D, b"UI", study.encode()) if study else b""
    return item(content, defined=defined)


def dicomdir(*records: bytes, defined: bool = True) -> bytes:
    data_set = element(0x00041130, b"CS", b"STICK") + sequence(0x00041220, *records, defined=defined)
    return file_of(data_set, EXPLICIT, DIRECTORY)


@pytest.mark.parametrize("defined", [True, False])
def test_a_list_is_read_in_its_order_with_the_study_of_each_image(defined: bool) -> None:
    data = dicomdir(
        record("PATIENT", defined=defined),
        record("STUDY", study="1.2.3", defined=defined),
        record("IMAGE", file="A\\B", defined=defined),
        record("IMAGE", file="GONE", in_use=False, defined=defined),
        record("STUDY", study="1.2.4", defined=defined),
        record("IMAGE", file="C", defined=defined),
        record("PATIENT", defined=defined),
        record("IMAGE", file="D", defined=defined),
        defined=defined,
    )
    assert list(list_images(data)) == [
        ListedImage(("A", "B"), "1.2.3"),
        ListedImage(("C",), "1.2.4"),
        ListedImage(("D",), ""),
    ]


@pytest.mark.parametrize("name", ["DICOMDIR", "DICOMDIR-nopatient", "DICOMDIR-reordered"])
def test_what_real_recorders_write_is_read_as_pydicom_reads_it(name: str) -> None:
    path = pydicom_file("dicomdirtests") / name
    known = [
        tuple(one.ReferencedFileID) if not isinstance(one.ReferencedFileID, str) else (one.ReferencedFileID,)
        for one in pydicom.dcmread(path).DirectoryRecordSequence
        if "ReferencedFileID" in one
    ]
    assert len(known) > 10
    assert [image.parts for image in list_images(path.read_bytes())] == known


def test_a_list_that_is_cut_anywhere_is_of_use_as_far_as_it_goes() -> None:
    data = dicomdir(record("STUDY", study="1.2"), *(record("IMAGE", file=f"I{n}") for n in range(20)))
    whole = list(list_images(data))
    ends = range(0, len(data) + 1, 7)
    counts = [len(list(list_images(data[:end]))) for end in ends]
    assert counts == sorted(counts)
    assert counts[-30] >= 15
    assert all(list(list_images(data[:end])) == whole[:count] for end, count in zip(ends, counts, strict=True))


def test_nesting_without_end_ends_the_list_and_nothing_else() -> None:
    deep = b""
    for _ in range(2000):
        deep = element(0x00081199, b"SQ", pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF) + deep, length=0xFFFFFFFF)
    assert list(list_images(dicomdir(record("IMAGE", file="A"), item(deep)))) == [ListedImage(("A",), "")]


def test_the_list_gives_the_order_and_leads_nowhere(tmp_path: Path) -> None:
    outside = tmp_path / "outside.dcm"
    outside.write_bytes(b"x")
    root = tmp_path / "stick"
    (root / "sub").mkdir(parents=True)
    for name in ("a", "b", "c", "sub/d"):
        (root / name).write_bytes(b"x")
    names = (
        "..\\outside.dcm",
        str(outside).replace("/", "\\"),
        "/etc/passwd",
        "C;1",
        "SUB\\D.",
        "nowhere",
        "sub\\..\\b",
    )
    (root / "DICOMDIR").write_bytes(
        dicomdir(record("STUDY", study="1.2"), *(record("IMAGE", file=name) for name in names))
    )
    listing = order_files(search_stick(root).files)
    assert [file.parts for file in listing.files] == [("c",), ("sub", "d"), ("DICOMDIR",), ("a",), ("b",)]
    assert listing.listed_more == {"1.2": 5}
    assert listing.lists == 1


def test_a_list_in_a_folder_speaks_of_that_folder(tmp_path: Path) -> None:
    for disc in ("one", "two"):
        (tmp_path / disc).mkdir()
        (tmp_path / disc / "I1").write_bytes(b"x")
        (tmp_path / disc / "dicomdir").write_bytes(dicomdir(record("IMAGE", file="I1")))
    listing = order_files(search_stick(tmp_path).files)
    assert [file.parts for file in listing.files[:2]] == [("one", "I1"), ("two", "I1")]
    assert (listing.lists, listing.listed_more) == (2, {})


def test_a_huge_list_is_read_no_further_than_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "DICOMDIR"
    with path.open("wb") as handle:
        handle.write(dicomdir(record("IMAGE", file="A"))[:-8])
        handle.truncate(8_000_000_000)
    (tmp_path / "a").write_bytes(b"x")
    assert lists.MOST_DICOMDIR_BYTES < 8_000_000_000
    assert order_files(search_stick(tmp_path).files).files[0].parts in {("a",), ("DICOMDIR",)}
