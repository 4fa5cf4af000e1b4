"""What leaves of the pixels: inside the sector bit for bit what was there, outside it black, in every colour model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import convert_color_space
from pydicom.uid import (
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
)

from firmware_app.imaging import deidentification
from firmware_app.imaging.deidentified_header import Pseudonyms
from firmware_app.imaging.errors import EXPORT_NO_SECTOR, EXPORT_TEXT_FOUND, EXPORT_TEXT_UNCHECKED, EXPORT_TOO_LARGE
from firmware_app.imaging.text_detection import TextDetector, text_model_file
from firmware_app.packs.runtimes import onnxruntime
from tests import films, peers
from tests.refusals import raises_refusal

IDENTITIES = Pseudonyms(b"k" * 32)
ROWS, COLUMNS = 128, 160
REGION = (40, 30, 140, 110)  # x0, y0, x1, y1 of the sector, the last ones outside


def screen(number: int = 0) -> NDArray[np.uint8]:
    """(128, 160, 3) RGB: speckle and a coloured patch in the region, a name and a ruler around it."""
    chance = np.random.default_rng(number)
    image = Image.new("RGB", (COLUMNS, ROWS))
    draw = ImageDraw.Draw(image)
    draw.text((4, 4), "ZHANG SAN 1965-03-02", fill=(255, 255, 255))
    draw.line((150, 30, 150, 110), fill=(255, 255, 0), width=2)
    picture = np.array(image)
    x0, y0, x1, y1 = REGION
    speckle = chance.integers(20, 220, (y1 - y0, x1 - x0), dtype=np.uint8)
    picture[y0:y1, x0:x1] = speckle[..., np.newaxis]
    picture[60:80, 80:100] = (200, 30, 30)
    return picture


def inside() -> NDArray[np.bool_]:
    mask = np.zeros((ROWS, COLUMNS), np.bool_)
    mask[REGION[1] : REGION[3], REGION[0] : REGION[2]] = True
    return mask


def ultrasound(samples: NDArray[Any], *, frames: int = 1, **attributes: Any) -> FileDataset:
    region = Dataset()
    region.RegionLocationMinX0, region.RegionLocationMinY0 = REGION[:2]
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = REGION[2] - 1, REGION[3] - 1
    region.RegionSpatialFormat = 1
    kind = UltrasoundImageStorage if frames == 1 else UltrasoundMultiFrameImageStorage
    many = {"NumberOfFrames": frames, "FrameTime": "40"} if frames > 1 else {}
    made = {"Modality": "US", "SequenceOfUltrasoundRegions": [region], "SOPClassUID": kind, **many, **attributes}
    return films.film(samples, **{"Rows": ROWS, "Columns": COLUMNS, **made})


def palette(entries: bytes) -> dict[str, Any]:
    """One table for all three colours."""
    attributes: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for name in ("Red", "Green", "Blue"):
        attributes[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        attributes[f"{name}PaletteColorLookupTableData"] = entries
    return attributes


def deidentify_film(folder: Path, dataset: FileDataset) -> tuple[FileDataset, deidentification.DeidentifiedFile]:
    path, out = films.save(folder, "film.dcm", dataset), folder / "out.dcm"
    out.unlink(missing_ok=True)
    done = deidentification.write_deidentified(path, out, IDENTITIES, None, looked=True)
    return dcmread(out), done


def test_rgb_is_bit_exact_inside_and_black_outside(tmp_path: Path) -> None:
    cleaned, done = deidentify_film(tmp_path, ultrasound(screen()))
    words, mask = cleaned.pixel_array, inside()
    assert np.array_equal(words[mask], screen()[mask])
    assert not words[~mask].any()
    assert (cleaned.PhotometricInterpretation, cleaned.PlanarConfiguration) == ("RGB", 0)
    assert (done.blacked, done.sector_derived_from) == (True, "header")


@pytest.mark.parametrize("photometric", ["YBR_FULL", "YBR_FULL_422"])
def test_ybr_keeps_its_samples_and_its_black_is_black(tmp_path: Path, photometric: str) -> None:
    ybr = convert_color_space(screen(), "RGB", "YBR_FULL")
    data = ybr.tobytes()
    if photometric == "YBR_FULL_422":
        ybr[:, 1::2, 1:] = ybr[:, 0::2, 1:]
        pairs = ybr.reshape(ROWS, COLUMNS // 2, 2, 3)
        data = np.concatenate([pairs[:, :, :, 0], pairs[:, :, 0, 1:]], axis=2).tobytes()
    cleaned, _ = deidentify_film(tmp_path, ultrasound(ybr, PhotometricInterpretation=photometric, pixel_data=data))
    mask, words = inside(), np.frombuffer(cleaned.PixelData, np.uint8).reshape(ROWS, COLUMNS, 3)
    assert cleaned.PhotometricInterpretation == "YBR_FULL"
    assert np.array_equal(words[mask], ybr[mask])
    assert not convert_color_space(words, "YBR_FULL", "RGB")[~mask].any()


def test_a_palette_keeps_its_indices_and_finds_its_black(tmp_path: Path) -> None:
    indices = np.random.default_rng(3).integers(0, 255, (ROWS, COLUMNS), dtype=np.uint8)
    ramp = (np.arange(256, dtype=np.uint16) * 257)[::-1].copy()  # its last entry is black, not its first
    cleaned, _ = deidentify_film(tmp_path, ultrasound(indices, **palette(ramp.tobytes())))
    mask = inside()
    assert np.array_equal(cleaned.pixel_array[mask], indices[mask])
    assert (cleaned.pixel_array[~mask] == 255).all()
    assert cleaned.RedPaletteColorLookupTableData == ramp.tobytes()


@pytest.mark.parametrize(
    ("more", "black"),
    [
        ({}, 0),
        ({"PhotometricInterpretation": "MONOCHROME1"}, 4095),
        ({"RescaleSlope": "-1", "RescaleIntercept": "0"}, 4095),
        ({"PresentationLUTShape": "INVERSE"}, 4095),
    ],
)
def test_black_is_what_shows_as_black(tmp_path: Path, more: dict[str, Any], black: int) -> None:
    greys = films.shapes(5, ROWS, COLUMNS)
    cleaned, _ = deidentify_film(tmp_path, ultrasound(greys, BitsStored=12, HighBit=11, **more))
    mask = inside()
    assert np.array_equal(cleaned.pixel_array[mask], greys[mask])
    assert (cleaned.pixel_array[~mask] == black).all()


def test_one_bit_frames_stay_packed_within_bytes(tmp_path: Path) -> None:
    bits = np.random.default_rng(1).integers(0, 2, (3, 11, 7), dtype=np.uint8)
    data = np.packbits(bits.reshape(-1), bitorder="little").tobytes()
    dataset = films.film(
        bits[0], Rows=11, Columns=7, BitsAllocated=1, BitsStored=1, HighBit=0, NumberOfFrames=3, pixel_data=data + b"\0"
    )
    cleaned, _ = deidentify_film(tmp_path, dataset)
    assert np.array_equal(cleaned.pixel_array, bits)


@pytest.mark.parametrize("kind", ["rle", "jpeg", "jpeg 2000"])
def test_a_compressed_object_leaves_as_it_is_decoded(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "frame"
    if kind == "rle":
        dataset = ultrasound(screen())
        dataset.compress(RLELossless)
        expected, label = screen(), "RGB"
    else:
        form = {"jpeg": "JPEG", "jpeg 2000": "JPEG2000"}[kind]
        Image.fromarray(screen()).save(path, form, **({"quality": 90} if kind == "jpeg" else {"irreversible": False}))
        stream = path.read_bytes()
        if kind == "jpeg":  # a comment, as some machines write one
            stream = stream[:2] + b"\xff\xfe\x00\x0aZHANGSAN" + stream[2:]
        named = "YBR_FULL_422" if kind == "jpeg" else "YBR_RCT"
        dataset = ultrasound(
            screen(),
            syntax=JPEGBaseline8Bit if kind == "jpeg" else JPEG2000Lossless,
            PhotometricInterpretation=named,
            pixel_data=encapsulate([stream]),
        )
        with Image.open(path) as image:
            image.draft("YCbCr", None)
            expected, label = np.array(image), "YBR_FULL" if kind == "jpeg" else "RGB"
    cleaned, done = deidentify_film(tmp_path, dataset)
    words, mask = np.frombuffer(cleaned.PixelData, np.uint8).reshape(ROWS, COLUMNS, 3), inside()
    assert cleaned.PhotometricInterpretation == label
    assert np.array_equal(words[mask], expected[mask])
    assert b"ZHANGSAN" not in (tmp_path / "out.dcm").read_bytes()
    assert cleaned.get("LossyImageCompression") == ("01" if kind == "jpeg" else None)
    assert done.blacked
    rgb = convert_color_space(words, label, "RGB") if label != "RGB" else words
    assert not rgb[~mask].any()


def test_history_of_lossy_compression_stays(tmp_path: Path) -> None:
    dataset = ultrasound(
        screen(),
        LossyImageCompression="01",
        LossyImageCompressionRatio="10.5",
        LossyImageCompressionMethod="ISO_10918_1",
        ImageType=["ORIGINAL", "PRIMARY", "", "0001"],
    )
    cleaned, _ = deidentify_film(tmp_path, dataset)
    assert (cleaned.LossyImageCompression, cleaned.LossyImageCompressionMethod) == ("01", "ISO_10918_1")
    assert str(cleaned.LossyImageCompressionRatio) == "10.5"
    assert cleaned.ImageType[0] == "DERIVED"


def test_bytes_behind_the_last_frame_stay_behind(tmp_path: Path) -> None:
    greys = films.shapes(5, 64, 64)
    cleaned, _ = deidentify_film(tmp_path, films.film(greys, pixel_data=greys.tobytes() + b"ZHANGSAN"))
    assert cleaned.PixelData == greys.tobytes()


def test_ultrasound_without_a_sector_to_be_told_does_not_leave(tmp_path: Path) -> None:
    dataset = ultrasound(np.zeros((ROWS, COLUMNS), np.uint8), SequenceOfUltrasoundRegions=None)
    with raises_refusal(EXPORT_NO_SECTOR):
        deidentify_film(tmp_path, dataset)


def test_ultrasound_under_another_modality_is_ultrasound_by_its_class(tmp_path: Path) -> None:
    cleaned, _ = deidentify_film(tmp_path, ultrasound(screen(), Modality="OT"))
    assert not cleaned.pixel_array[~inside()].any()


def test_a_clip_that_would_not_fit_on_a_stick_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deidentification, "LARGEST_FILE_BYTES", 64 << 20)
    with raises_refusal(EXPORT_TOO_LARGE):
        deidentify_film(tmp_path, films.film(films.shapes(1)))
    assert not (tmp_path / "out.dcm").exists()


def test_nothing_is_written_over_and_no_link_is_followed(tmp_path: Path) -> None:
    path = films.save(tmp_path, "film.dcm", films.film(films.shapes(1)))
    out, victim = tmp_path / "out.dcm", tmp_path / "victim"
    victim.write_bytes(b"mine")
    out.symlink_to(victim)
    with pytest.raises(FileExistsError):
        deidentification.write_deidentified(path, out, IDENTITIES, None, looked=True)
    assert victim.read_bytes() == b"mine"


# --- letters ------------------------------------------------------------------------------------------------------


def detector() -> TextDetector:
    file = text_model_file()
    loaded = TextDetector(onnxruntime.load(file, onnxruntime.Config(spinning=False))) if file is not None else None
    if loaded is None:
        peers.skip_or_fail("needs rapidocr's model file (pip install --no-deps rapidocr)")
    return loaded


def test_without_a_look_nothing_leaves(tmp_path: Path) -> None:
    path = films.save(tmp_path, "film.dcm", films.film(films.shapes(1)))
    with raises_refusal(EXPORT_TEXT_UNCHECKED):
        deidentification.write_deidentified(path, tmp_path / "out.dcm", IDENTITIES, None, looked=False)
    assert not (tmp_path / "out.dcm").exists()


def test_a_name_in_the_picture_keeps_it_on_the_box_until_a_person_has_looked(tmp_path: Path) -> None:
    picture = Image.fromarray((films.shapes(1, 384, 384) >> 4).astype(np.uint8))
    ImageDraw.Draw(picture).text((120, 180), "ZHANG SAN", fill=255, font_size=24)
    path, out = films.save(tmp_path, "film.dcm", films.film(np.array(picture))), tmp_path / "out.dcm"
    with raises_refusal(EXPORT_TEXT_FOUND) as refused:
        deidentification.write_deidentified(path, out, IDENTITIES, detector(), looked=False)
    assert refused.value.frame == 1
    assert not out.exists()
    assert deidentification.write_deidentified(path, out, IDENTITIES, None, looked=True).text_check == "person"


def test_a_film_without_letters_leaves_and_says_that_a_detector_looked(tmp_path: Path) -> None:
    path = films.save(tmp_path, "film.dcm", films.film(films.shapes(1, 384, 384)))
    done = deidentification.write_deidentified(path, tmp_path / "out.dcm", IDENTITIES, detector(), looked=False)
    assert (done.text_check, done.frames_checked) == ("detector", 1)
    assert "text in pixels: detector found none" in dcmread(tmp_path / "out.dcm").DeidentificationMethod


def test_the_name_around_the_sector_is_gone_before_the_detector_looks(tmp_path: Path) -> None:
    picture = np.zeros((480, 640, 3), np.uint8)
    image = Image.fromarray(picture)
    ImageDraw.Draw(image).text((30, 10), "ZHANG SAN 1965-03-02", fill=(255, 255, 255), font_size=20)
    picture = np.array(image)
    picture[80:400, 120:520] = (films.shapes(3, 320, 400) >> 4).astype(np.uint8)[..., np.newaxis]
    region = Dataset()
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 120, 80
    region.RegionLocationMaxX1, region.RegionLocationMaxY1, region.RegionSpatialFormat = 519, 399, 1
    dataset = ultrasound(picture, Rows=480, Columns=640, SequenceOfUltrasoundRegions=[region])
    looking = detector()
    assert looking.boxes(picture)
    path = films.save(tmp_path, "film.dcm", dataset)
    assert deidentification.write_deidentified(path, tmp_path / "out.dcm", IDENTITIES, looking, looked=False).blacked
