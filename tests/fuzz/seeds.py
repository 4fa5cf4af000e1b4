"""What fuzzing begins with: small objects made by code, of every transfer syntax and form that the box reads."""

from __future__ import annotations

import io
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from tests import clips, films, htj2k, objects, peers

Pixels = np.ndarray[Any, Any]

ROWS, COLUMNS = 40, 36
_PROGRESSIVE: Final = UID("1.2.840.10008.1.2.4.55")
_WRAPPED: Final = b"1.2.840.10008.1.2.1.98"
_DEFLATED: Final = b"1.2.840.10008.1.2.8.1"
_VIDEOS: Final = (
    ("mpeg2video", "mpeg2video", "1.2.840.10008.1.2.4.101"),
    ("libx264", "h264", "1.2.840.10008.1.2.4.104"),
    ("libx265", "hevc", "1.2.840.10008.1.2.4.107"),
    ("libx264", "mp4", "1.2.840.10008.1.2.4.103"),
)
_QUIET: Final = {"libx265": {"x265-params": "log-level=error"}}
_FILES: Final = (("mpeg4", "mp4"), ("mjpeg", "avi"))


def make_seeds() -> dict[str, bytes]:
    """Every seed by its name."""
    return {
        **{f"plain-{name}.dcm": _bytes(dataset) for name, dataset in _plain()},
        **{f"coded-{name}.dcm": _bytes(dataset) for name, dataset in _make_compressed()},
        **{f"unnamed-{name}.dcm": data for name, data in _unknown_to_pydicom()},
        **{f"bare-{name}": data for name, data in _bare()},
        **{f"picture-{name}": data for name, data in _pictures()},
        **{f"clip-{name}": data for name, data in _clips()},
    }


def grey(kind: str = "uint16") -> Pixels:
    """(ROWS, COLUMNS) of two soft fields, which pass for a film."""
    return films.shapes(5, ROWS, COLUMNS, top=250 if kind == "uint8" else 4000).astype(kind)


def colour() -> Pixels:
    """(ROWS, COLUMNS, 3) uint8."""
    shades = grey("uint8")
    return np.stack([shades, shades // 2 + 60, 255 - shades], -1)


def _plain() -> Iterator[tuple[str, FileDataset]]:
    yield "explicit", films.film(grey(), WindowCenter="2000\\100", WindowWidth="3000\\50", RescaleSlope="-1.5")
    yield "implicit", films.film(grey(), syntax=ImplicitVRLittleEndian, VOILUTFunction="SIGMOID", WindowCenter="9")
    yield "big", films.film(grey("int16"), syntax=ExplicitVRBigEndian, PixelPaddingValue=-20)
    yield "inverse", films.film(grey(), PhotometricInterpretation="MONOCHROME1", BitsStored=12, HighBit=13)
    yield "rgb", films.film(colour(), PlanarConfiguration=1)
    yield "ybr", films.film(colour(), PhotometricInterpretation="YBR_FULL")
    yield "422", films.film(colour(), PhotometricInterpretation="YBR_FULL_422", pixel_data=bytes(2 * ROWS * COLUMNS))
    bits = np.packbits(grey() > 2000, bitorder="little").tobytes()
    yield "bits", films.film(grey(), BitsAllocated=1, BitsStored=1, HighBit=0, pixel_data=bits * 3, NumberOfFrames=3)
    yield "tables", films.film(grey(), ModalityLUTSequence=_table(8, 12), VOILUTSequence=_table(4, 16))
    yield "overlay", _with_overlay(films.film(grey()))
    yield "palette", films.film(grey("uint8"), PhotometricInterpretation="PALETTE COLOR", **_palette())
    yield "segmented", films.film(grey("uint8"), PhotometricInterpretation="PALETTE COLOR", **_palette("Segmented"))
    yield "words", films.film(grey("uint32"))
    yield (
        "ultrasound",
        films.film(
            np.repeat(grey("uint8")[np.newaxis], 4, 0).reshape(-1, COLUMNS),
            Modality="US",
            NumberOfFrames=4,
            Rows=ROWS,
            SequenceOfUltrasoundRegions=_regions(),
            SpecificCharacterSet="GB18030",
            FrameTime="33.3",
        ),
    )
    yield (
        "enhanced",
        films.film(
            np.repeat(grey()[np.newaxis], 2, 0).reshape(-1, COLUMNS),
            NumberOfFrames=2,
            Rows=ROWS,
            PerFrameFunctionalGroupsSequence=[_group(1.0), _group(-2.0)],
            SharedFunctionalGroupsSequence=[_group(3.0)],
        ),
    )


def _make_compressed() -> Iterator[tuple[str, FileDataset]]:
    for name, pixels in (("grey", grey()), ("grey8", grey("uint8")), ("colour", colour())):
        for syntax in (RLELossless, JPEGLSLossless, JPEG2000Lossless):
            dataset = films.film(pixels)
            dataset.compress(syntax, generate_instance_uid=False)
            yield f"{syntax.keyword}-{name}", dataset
    yield "baseline", _encapsulate([_pillow(colour(), "JPEG")] * 2, colour(), JPEGBaseline8Bit, NumberOfFrames=2)
    yield "baseline-grey", _encapsulate([_pillow(grey("uint8"), "JPEG")], grey("uint8"), JPEGBaseline8Bit)
    yield "progressive", _encapsulate([_pillow(colour(), "JPEG", progressive=True)], colour(), _PROGRESSIVE)
    lossy = _pillow(grey("uint8"), "JPEG2000", no_jp2=True, irreversible=True, quality_layers=[20])
    yield "lossy-2000", _encapsulate([lossy], grey("uint8"), JPEG2000)
    yield "high-throughput", _encapsulate([htj2k.GREY], htj2k.draw_grey(), HTJ2KLossless)
    yield "high-throughput-colour", _encapsulate([htj2k.COLOUR], htj2k.draw_colour(), HTJ2KLossless)
    for name, option in (("lossless", "+el"), ("lossless-sv1", "+e1"), ("extended", "+ee")):
        yield name, _by_dcmtk(option)
    for codec, container, video in _VIDEOS:
        stream = clips.encode_clip(codec, container, 6, g="3", **_QUIET.get(codec, {}))
        pieces = [stream[at : at + 1500] for at in range(0, len(stream), 1500)]
        yield (
            f"{codec}-{container}",
            films.film(
                clips.draw_frame(0),
                syntax=UID(video),
                pixel_data=encapsulate(pieces, has_bot=False),
                NumberOfFrames=6,
                PhotometricInterpretation="YBR_PARTIAL_420",
                Modality="US",
            ),
        )


def _unknown_to_pydicom() -> Iterator[tuple[str, bytes]]:
    """Written under a name that pydicom knows, which is then replaced by one of the same length."""
    streams: dict[str, tuple[bytes, bytes]] = {
        "98": (_WRAPPED, grey().tobytes()),
        "deflated": (_DEFLATED, zlib.compress(grey().tobytes(), wbits=-15)),
    }
    for name, (other, stream) in streams.items():
        known = JPEG2000Lossless.encode()
        written = _bytes(_encapsulate([stream], grey(), JPEG2000Lossless))
        yield name, written.replace(known, other.ljust(len(known), b"\0"), 1)


def _bare() -> Iterator[tuple[str, bytes]]:
    """Data sets as some devices write them: without preamble, without meta information, byte by byte."""
    for name, syntax in (("explicit", objects.EXPLICIT), ("implicit", objects.IMPLICIT), ("big", objects.BIG)):
        yield name, objects.film(syntax=syntax, sop_instance="2.25.2", study="2.25.3", pixels=bytes(512))
    nested = objects.sequence(
        0x00081140,
        objects.item(objects.element(0x00081155, b"UI", b"2.25.4"), defined=False),
        objects.item(objects.sequence(0x00081199, objects.item(b"")), defined=True),
        defined=False,
    )
    yield "nested", objects.film(extra=nested, sop_instance="2.25.5", study="2.25.6", pixels=bytes(512))
    fragments = objects.film(pixel_element=objects.fragments(b"\xff\xd8\xff\xd9", b"12"), sop_instance="2.25.7")
    yield "fragments.dcm", objects.file_of(fragments, objects.JPEG)


def _pictures() -> Iterator[tuple[str, bytes]]:
    yield "grey.png", _pillow(grey("uint8"), "PNG")
    yield "deep.png", _pillow(grey(), "PNG")
    yield "colour.jpg", _pillow(colour(), "JPEG")
    turned = Image.Exif()
    turned[0x0112] = 6
    yield "turned.jpg", _pillow(grey("uint8"), "JPEG", exif=turned)
    yield "colour.bmp", _pillow(colour(), "BMP")
    for compression in ("raw", "tiff_lzw", "packbits", "tiff_adobe_deflate", "jpeg"):
        yield f"{compression}.tif", _pillow(colour(), "TIFF", compression=compression)
    yield "deep.tif", _pillow(grey(), "TIFF")
    pages = [Image.fromarray(grey("uint8")) for _ in range(2)]
    yield "pages.tif", _pillow(grey("uint8"), "TIFF", save_all=True, append_images=pages)
    yield "colour.webp", _pillow(colour(), "WEBP")


def _clips() -> Iterator[tuple[str, bytes]]:
    for codec, container in _FILES:
        yield f"{codec}.{container}", clips.encode_clip(codec, container, 4, g="2")


def _bytes(dataset: FileDataset) -> bytes:
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _encapsulate(streams: list[bytes], pixels: Pixels, syntax: UID, **attributes: Any) -> FileDataset:
    return films.film(pixels, syntax=syntax, pixel_data=encapsulate(streams), **attributes)


def _pillow(pixels: Pixels, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def _by_dcmtk(option: str) -> FileDataset:
    """A JPEG that only dcmtk's encoder writes."""
    with tempfile.TemporaryDirectory() as folder:
        plain = films.save(Path(folder), "plain.dcm", films.film(grey(), BitsStored=12, HighBit=11))
        coded = Path(folder, "coded.dcm")
        subprocess.run([peers.peer("dcmcjpeg"), option, plain, coded], check=True, capture_output=True)
        return pydicom.dcmread(coded)


def _table(entries: int, bits: int) -> Sequence:
    item = Dataset()
    item.LUTDescriptor = [entries, 0, bits]
    item.LUTData = [number * ((1 << bits) - 1) // entries for number in range(entries)]
    item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
    return Sequence([item])


def _with_overlay(dataset: FileDataset) -> FileDataset:
    dataset.add_new(0x60000010, "US", ROWS)
    dataset.add_new(0x60000011, "US", COLUMNS)
    dataset.add_new(0x60000040, "CS", "G")
    dataset.add_new(0x60000050, "SS", [1, 1])
    dataset.add_new(0x60000100, "US", 1)
    dataset.add_new(0x60000102, "US", 0)
    dataset.add_new(0x60003000, "OW", bytes(ROWS * COLUMNS // 8))
    return dataset


def _palette(kind: str = "") -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    for name in ("Red", "Green", "Blue"):
        attributes[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        ramp = np.arange(256, dtype="<u2").tobytes()
        segments = np.array([0, 1, 0, 1, 255, 65535], "<u2").tobytes()
        attributes[f"{kind}{name}PaletteColorLookupTableData"] = segments if kind else ramp
    return attributes


def _regions() -> Sequence:
    item = Dataset()
    item.RegionSpatialFormat = item.RegionDataType = 1
    item.RegionLocationMinX0, item.RegionLocationMinY0 = 2, 3
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = COLUMNS - 3, ROWS - 2
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX = item.PhysicalDeltaY = 0.05
    return Sequence([item])


def _group(slope: float) -> Dataset:
    item, rescale, window = Dataset(), Dataset(), Dataset()
    rescale.RescaleSlope, rescale.RescaleIntercept = slope, 10.0
    window.WindowCenter, window.WindowWidth = 1000, 2000
    item.PixelValueTransformationSequence = Sequence([rescale])
    item.FrameVOILUTSequence = Sequence([window])
    return item
