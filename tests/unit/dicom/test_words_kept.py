"""Words of a header reach people as they were meant, and their bytes stay in the file as they came."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import dcmread

from firmware_app.dicom.header import examine_file
from firmware_app.imaging import header_values
from firmware_app.ingest.intake import ImageIntake
from tests.objects import element, file_of, film

NAME, STUDY, SERIES = "欧阳^建国", "胸部正位 DR", "两肺纹理增多，肺窗"
WRITTEN = [
    (b"", "gbk"),
    (b"", "utf_8"),
    (b"ISO_IR 100", "gbk"),
    (b"ISO_IR 100", "gb18030"),
    (b"ISO_IR 100", "utf_8"),
    (b"GB18030", "gb18030"),
    (b"GB18030", "utf_8"),
    (b"GBK", "gbk"),
    (b"ISO_IR 192", "utf_8"),
    (b"ISO_IR 192", "gbk"),
    (b"ISO_IR 6", "gbk"),
    (rb"\ISO 2022 IR 58", "gbk"),
    (rb"\ISO 2022 IR 58", "escaped"),
]


def encode_text(text: str, codec: str) -> bytes:
    """By *codec*, or as PS3.5 K.2 has it: an escape before the Chinese characters of each component."""
    if codec != "escaped":
        return text.encode(codec)
    parts = (part.encode("gb2312") for part in text.split("^"))
    return b"^".join(part if part.isascii() else b"\x1b$)A" + part for part in parts)


def write_film(folder: Path, charset: bytes, codec: str) -> Path:
    declared = element(0x00080005, b"CS", charset) if charset else b""
    extra = b"".join(
        (
            element(0x00081030, b"LO", encode_text(STUDY, codec)),
            element(0x0008103E, b"LO", encode_text(SERIES, codec)),
            element(0x00100010, b"PN", encode_text(NAME, codec)),
        )
    )
    path = folder / "given.dcm"
    path.write_bytes(file_of(declared + film(extra=extra)))
    return path


@pytest.mark.parametrize(("charset", "codec"), WRITTEN)
def test_names_and_descriptions_are_read_under_any_name_of_their_set(
    tmp_path: Path, charset: bytes, codec: str
) -> None:
    path = write_film(tmp_path, charset, codec)
    header = examine_file(path).header
    assert (header.study_description, header.series_description) == (STUDY, SERIES)
    assert header_values.read_identity(dcmread(path, stop_before_pixels=True))["name"] == "欧阳建国"


@pytest.mark.parametrize(("charset", "codec"), WRITTEN)
def test_the_file_that_is_kept_has_the_very_bytes_that_came(
    tmp_path: Path, door: ImageIntake, charset: bytes, codec: str
) -> None:
    path = write_film(tmp_path, charset, codec)
    door.accept_file(path)
    [row] = door.clinical.database.connection.execute("SELECT file FROM instances").fetchall()
    kept = door.state.root / str(row[0])
    header_values.read_identity(dcmread(kept, stop_before_pixels=True))
    assert kept.read_bytes() == path.read_bytes()
    for text in (NAME, STUDY, SERIES):
        assert encode_text(text, codec) in kept.read_bytes()


@pytest.mark.parametrize("codec", ["gbk", "utf_8"])
@pytest.mark.parametrize("charset", [b"", b"ISO_IR 100", b"GB18030"])
def test_a_name_cut_after_sixty_four_bytes_is_read_up_to_the_cut(tmp_path: Path, codec: str, charset: bytes) -> None:
    whole = "甲" * 10 + "^" + "乙" * 30
    declared = element(0x00080005, b"CS", charset) if charset else b""
    value = whole.encode(codec)[:64]
    path = tmp_path / "cut.dcm"
    path.write_bytes(file_of(declared + film(extra=element(0x00100010, b"PN", value))))
    name = header_values.read_identity(dcmread(path, stop_before_pixels=True))["name"]
    assert name.rstrip("\ufffd") == value.decode(codec, "ignore").replace("^", "")
