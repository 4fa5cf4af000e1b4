"""What `bench.decode` reads: a film in each transfer syntax that can be written here, and a clip of ultrasound.

They are drawn by code, with detector noise: without it every codec would compress and decode too easily.
"""

from __future__ import annotations

import io
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image
from pydicom import uid
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from bench import harness
from tests import films

SIDE: Final = 2048
CLIP_ROWS, CLIP_COLUMNS = 600, 800
_SCENES: Final = 120

Pixels = np.ndarray[Any, Any]


def every_syntax(folder: Path, absent: list[str]) -> Iterator[tuple[str, Path]]:
    """One film in each transfer syntax, by its name."""
    deep = add_grain(films.shapes(3, SIDE, SIDE, top=65_000), 40)
    twelve = add_grain(films.shapes(3, SIDE, SIDE, top=4_000), 6)
    bits: dict[str, Any] = {"BitsStored": 12, "HighBit": 11}
    plain = films.save(folder, "explicit.dcm", films.film(deep))
    yield "uncompressed, 16 bits", plain
    yield (
        "uncompressed, implicit, 12 bits",
        films.save(folder, "implicit.dcm", films.film(twelve, syntax=uid.ImplicitVRLittleEndian, **bits)),
    )
    yield "uncompressed, big endian", films.save(folder, "big.dcm", films.film(deep, syntax=uid.ExplicitVRBigEndian))
    shallow = films.save(folder, "twelve.dcm", films.film(twelve, **bits))
    for title, tool, options, path in (
        ("JPEG lossless SV1, 16 bits", "dcmcjpeg", ["+e1"], plain),
        ("JPEG lossless, 16 bits", "dcmcjpeg", ["+el"], plain),
        ("JPEG extended, 12 bits", "dcmcjpeg", ["+ee"], shallow),
        ("RLE, 16 bits", "dcmcrle", [], plain),
    ):
        program = harness.find_tool(tool)
        if program is None:
            absent.append(f"{title}: {tool} is not installed (Debian: dcmtk)")
            continue
        coded = folder / f"{title}.dcm"
        subprocess.run([program, *options, str(path), str(coded)], check=True, capture_output=True)
        yield title, coded
    coded_by_pydicom: tuple[tuple[str, UID, dict[str, Any]], ...] = (
        ("JPEG-LS", uid.JPEGLSLossless, {}),
        ("JPEG-LS near-lossless", uid.JPEGLSNearLossless, {"jls_error": 3}),
        ("JPEG 2000 lossless", uid.JPEG2000Lossless, {}),
        ("JPEG 2000", uid.JPEG2000, {"j2k_cr": [10]}),
    )
    for title, syntax, settings in coded_by_pydicom:
        dataset = films.film(deep)
        dataset.compress(syntax, generate_instance_uid=False, **settings)
        yield f"{title}, 16 bits", films.save(folder, f"{syntax.keyword}.dcm", dataset)
    eight = (twelve >> 4).astype(np.uint8)
    dataset = films.film(eight, syntax=uid.JPEGBaseline8Bit, pixel_data=encapsulate([_jpeg(eight)]))
    yield "JPEG baseline, 8 bits", films.save(folder, "baseline.dcm", dataset)


def add_grain(pixels: Pixels, deviation: float) -> Pixels:
    """*pixels* with detector noise."""
    noise = np.random.default_rng(8).normal(0, deviation, pixels.shape)
    return np.clip(pixels + noise, 0, np.iinfo(np.uint16).max).astype(np.uint16)


def _jpeg(pixels: Pixels) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=90)
    return out.getvalue()


def clip(folder: Path, frames: int) -> Path:
    """A colour clip as an ultrasound machine stores it: speckle in a sector that moves from frame to frame."""
    chance = np.random.default_rng(2)
    down, across = np.mgrid[0:CLIP_ROWS, 0:CLIP_COLUMNS]
    inside = (np.hypot(down + 60, across - CLIP_COLUMNS / 2) < 600) & (abs(across - CLIP_COLUMNS / 2) < 0.7 * down + 30)
    streams = []
    for number in range(_SCENES):
        speckle = chance.rayleigh(40, inside.shape) * (0.6 + 0.4 * np.sin(down / 50 + number / 9))
        grey = np.where(inside, np.clip(speckle, 0, 255), 0).astype(np.uint8)
        streams.append(_jpeg(np.repeat(grey[..., np.newaxis], 3, 2)))
    made: FileDataset = films.film(
        np.zeros((CLIP_ROWS, CLIP_COLUMNS, 3), np.uint8),
        syntax=uid.JPEGBaseline8Bit,
        pixel_data=encapsulate([streams[number % _SCENES] for number in range(frames)]),
        NumberOfFrames=frames,
        PhotometricInterpretation="YBR_FULL_422",
        Modality="US",
    )
    return films.save(folder, f"clip-{frames}.dcm", made)
