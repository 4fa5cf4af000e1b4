"""A clip leaves as JPEG-LS, and dcmtk, pydicom and the box read the very words from it that the decoder gave."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import convert_color_space
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, JPEGLSLossless

from firmware_app.imaging import deidentification, dicom_image
from tests import films, peers
from tests.unit.imaging.test_deidentified_pixels import IDENTITIES, inside, palette, screen, ultrasound

FRAMES = 5


def moving() -> NDArray[np.uint8]:
    """(5, 128, 160, 3) RGB: the screen, with a soft sector that moves."""
    clip = np.stack([screen(number) for number in range(FRAMES)])
    for number, frame in enumerate(clip):
        frame[30:110, 40:140] = (films.shapes(number, 80, 100, top=255))[..., np.newaxis] // np.array([1, 2, 3])
    return clip


def make_colour_clip(photometric: str) -> tuple[FileDataset, NDArray[np.uint8]]:
    """A clip in this colour model, and its samples, (5, 128, 160) or (5, 128, 160, 3)."""
    clip = moving()
    if photometric == "YBR_FULL":
        clip = np.stack([convert_color_space(frame, "RGB", "YBR_FULL") for frame in clip])
    elif photometric != "RGB":
        clip = np.ascontiguousarray(clip[..., 0])
    tables = palette((np.arange(256, dtype=np.uint16) * 257).tobytes()) if photometric == "PALETTE COLOR" else {}
    more: dict[str, Any] = {**tables, "PhotometricInterpretation": photometric}
    return ultrasound(clip[0], frames=FRAMES, pixel_data=clip.tobytes(), **more), clip


def left(folder: Path, dataset: FileDataset) -> Path:
    out = folder / "out.dcm"
    deidentification.write_deidentified(films.save(folder, "clip.dcm", dataset), out, IDENTITIES, None, looked=True)
    return out


def decode_with_dcmtk(path: Path) -> NDArray[np.uint8]:
    """Its words, decompressed by dcmdjpls."""
    plain = path.with_name("plain.dcm")
    subprocess.run([peers.peer("dcmdjpls"), str(path), str(plain)], check=True, capture_output=True)
    exported = dcmread(plain)
    assert (exported.file_meta.TransferSyntaxUID, exported.get("PlanarConfiguration", 0)) == (ExplicitVRLittleEndian, 0)
    shape = (exported.NumberOfFrames, exported.Rows, exported.Columns, exported.SamplesPerPixel)
    return np.frombuffer(exported.PixelData, np.uint8)[: int(np.prod(shape))].reshape(shape)


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL", "MONOCHROME1", "PALETTE COLOR"])
def test_a_clip_leaves_smaller_and_everybody_reads_its_words(tmp_path: Path, photometric: str) -> None:
    dataset, samples = make_colour_clip(photometric)
    out = left(tmp_path, dataset)
    exported, mask = dcmread(out), inside()
    assert (exported.file_meta.TransferSyntaxUID, exported.PhotometricInterpretation) == (JPEGLSLossless, photometric)
    assert out.stat().st_size < samples.nbytes / 2
    assert "LossyImageCompression" not in exported
    words = decode_with_dcmtk(out).reshape(samples.shape)
    assert np.array_equal(words[:, mask], samples[:, mask])
    assert (words[:, ~mask] == words[0][~mask][0]).all()
    with dicom_image.open_dicom_image(out) as after, dicom_image.open_dicom_image(tmp_path / "clip.dcm") as before:
        assert after.frames == FRAMES
        for index in range(FRAMES):
            assert np.array_equal(after.render_frame(index).pixels[mask], before.render_frame(index).pixels[mask])
    if photometric != "YBR_FULL":  # which pydicom turns into RGB
        assert np.array_equal(exported.pixel_array, words)


def test_a_clip_of_colour_jpeg_leaves_as_it_is_decoded(tmp_path: Path) -> None:
    streams, samples = [], []
    for frame in moving():
        stream = io.BytesIO()
        Image.fromarray(frame).save(stream, "JPEG", quality=90)
        with Image.open(stream) as image:
            image.draft("YCbCr", None)
            samples.append(np.array(image))
        streams.append(stream.getvalue())
    dataset = ultrasound(
        screen(),
        frames=FRAMES,
        syntax=JPEGBaseline8Bit,
        PhotometricInterpretation="YBR_FULL_422",
        pixel_data=encapsulate(streams),
    )
    out = left(tmp_path, dataset)
    exported, mask = dcmread(out), inside()
    assert (exported.file_meta.TransferSyntaxUID, exported.PhotometricInterpretation) == (JPEGLSLossless, "YBR_FULL")
    assert (exported.LossyImageCompression, exported.LossyImageCompressionMethod) == ("01", "ISO_10918_1")
    assert np.array_equal(decode_with_dcmtk(out)[:, mask], np.stack(samples)[:, mask])
