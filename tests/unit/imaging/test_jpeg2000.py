"""JPEG 2000 on several cores gives the words that pydicom gives on one, and takes no more for whole."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imagecodecs import jpeg2k_encode
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder
from pydicom.uid import UID, JPEG2000Lossless

from firmware_app.imaging import dicom_source, image_file
from firmware_app.imaging.codec import jpeg2000
from firmware_app.imaging.codec.stored_frames import FrameReader
from tests import films

Pixels = np.ndarray[Any, Any]
EOC = b"\xff\xd9"
COMPONENTS = 42
"""Where a code stream has the bits of each component and how many pixels share a sample (ISO/IEC 15444-1 A.5.1)."""
ROWS, COLUMNS = 40, 60
JP2_HEAD = b"\0\0\0\x0cjP  \r\n\x87\n"


def encode_jpeg2000(pixels: Pixels) -> bytes:
    return bytes(jpeg2k_encode(pixels, codecformat="j2k", reversible=True, level=0, mct=pixels.ndim == 3))


def noise(*shape: int, top: int = 256, kind: type = np.uint8) -> Pixels:
    return np.random.default_rng(5).integers(0, top, shape).astype(kind)


def save_stream(folder: Path, stream: bytes, pixels: Pixels, syntax: UID = JPEG2000Lossless, **attributes: Any) -> Path:
    dataset = films.film(pixels, syntax=syntax, pixel_data=encapsulate([stream]), **attributes)
    return films.save(folder, "film.dcm", dataset)


def words(path: Path) -> tuple[Pixels, bool]:
    """The words of the first frame, and whether they were decoded here and not by pydicom."""
    with dicom_source.open_source(path) as decoded:
        reader = FrameReader(decoded)
        stream = reader.read_codestream(0)
        assert stream is not None
        return reader.frame(0), jpeg2000.is_plain(decoded, stream)


def read_shown(path: Path) -> Pixels:
    with image_file.open_image_file(path, is_picture=False) as opened:
        return np.asarray(opened.render_frame(0).pixels)


@pytest.mark.parametrize(
    "name", ["JPEG2000.dcm", "J2K_pixelrep_mismatch.dcm", "693_J2KI.dcm", "US1_J2KR.dcm", "MR2_J2KR.dcm"]
)
def test_the_words_are_those_of_pydicom(name: str) -> None:
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"{name} is not installed (pydicom-data)")
    decoded, is_plain = words(Path(path))
    dataset = dcmread(path)
    decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
    theirs, _ = decoder.as_array(dataset, index=0, raw=True, decoding_plugin="pylibjpeg")
    assert is_plain
    assert decoded.dtype == theirs.dtype
    assert np.array_equal(decoded, theirs)


@pytest.mark.parametrize("wrapped", [False, True], ids=["code stream", "JP2"])
@pytest.mark.parametrize("planar", [0, 1])
def test_colours_lie_by_pixel_whatever_the_header_says_of_planes(tmp_path: Path, planar: int, wrapped: bool) -> None:
    """pydicom believes the header, and gives stripes of other colours (PS3.5 8.2.4)."""
    pixels = noise(ROWS, COLUMNS, 3)
    stream = jp2(encode_jpeg2000(pixels)) if wrapped else encode_jpeg2000(pixels)
    path = save_stream(tmp_path, stream, pixels, PhotometricInterpretation="YBR_RCT", PlanarConfiguration=planar)
    assert words(path)[1] is not wrapped
    assert np.array_equal(read_shown(path), pixels)


def jp2(stream: bytes) -> bytes:
    """*stream* in the boxes of a JP2 file (ISO/IEC 15444-1 I.5), as some machines store it."""
    image = box(b"ihdr", struct.pack(">IIHBBBB", ROWS, COLUMNS, 3, 7, 7, 0, 0)) + box(b"colr", b"\1\0\0\0\0\0\x10")
    return JP2_HEAD + box(b"ftyp", b"jp2 \0\0\0\0jp2 ") + box(b"jp2h", image) + box(b"jp2c", stream)


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


@pytest.mark.parametrize("instead", [b"", b"\0\0"], ids=["nothing", "zeros"])
def test_a_stream_that_ends_without_its_marker_is_as_pydicom_takes_it(instead: bytes) -> None:
    """The newer OpenJPEG takes any two bytes for the marker, and so for whole what lost some before its end."""
    path = get_testdata_file("693_J2KR.dcm", download=False)
    if path is None:
        pytest.skip("693_J2KR.dcm is not installed (pydicom-data)")
    with dicom_source.open_source(Path(path)) as image:
        reader = FrameReader(image)
        whole = reader.read_codestream(0)
        assert whole is not None
        with pytest.raises(dicom_source.HEADER_ERRORS):
            reader.frame(0, whole[: whole.rindex(EOC)] + instead)


@pytest.mark.parametrize(
    "components", [b"\7\1\1\7\2\2\7\2\2", b"\6\1\1\7\1\1\7\1\1"], ids=["chroma is shared", "one of 7 bits"]
)
def test_components_that_are_not_alike_are_left_to_pydicom(tmp_path: Path, components: bytes) -> None:
    """imagecodecs would take the first kind for YCbCr and turn it into RGB, and refuses the last two."""
    pixels = noise(ROWS, COLUMNS, 3)
    stream = encode_jpeg2000(pixels)
    path = save_stream(tmp_path, stream, pixels, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    with dicom_source.open_source(path) as image:
        assert jpeg2000.is_plain(image, stream)
        assert not jpeg2000.is_plain(image, stream[:COMPONENTS] + components + stream[COMPONENTS + 9 :])
