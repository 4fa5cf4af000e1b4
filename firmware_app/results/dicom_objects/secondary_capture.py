"""Secondary Capture: the marked picture with the outline or heat map burned in, for viewers that show nothing else.

A picture that came without a DICOM header (PNG, JPEG) is written as a plain one too, so that the other objects refer
to something that an archive can hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from firmware_app.core.records import Finding
from firmware_app.imaging import display
from firmware_app.results import key_images
from firmware_app.results.dicom_objects.result_context import WARNING, ObjectType, ResultContext
from firmware_app.results.key_images import KeyImage

_ORIENTATION: Final = ("Laterality", "PatientOrientation")
TYPE: Final = ObjectType("sc", 9102, orientation=_ORIENTATION)
PLAIN_TYPE: Final = ObjectType("picture", 9106, orientation=_ORIENTATION)
LONGEST_SIDE_PX: Final = 1024
"""Of a burned-in picture, which is not for measuring: 3 MB uncompressed, which every viewer opens."""
_INK: Final = (255, 255, 255)
_SMALLEST_PX: Final = 384


def make_captures(context: ResultContext) -> Iterator[Dataset]:
    """The burned-in pictures of the case, the most telling first."""
    for number, one in enumerate(key_images.select_key_images(context.view.case, context.find_display), 1):
        if one.instance not in context.sources:
            continue
        pixels = add_caption(key_images.render_marked(one, context.find_display(one.instance)), _write_caption(one))
        uid = context.uids.derive_instance(context.view.drawn_version, TYPE.kind, number)
        series = context.uids.derive_series(TYPE.kind)
        made = _make_capture(
            context,
            pixels,
            series,
            uid=uid,
            type_=TYPE,
            number=_number_instance(context, number),
            instance=one.instance,
        )
        made.SeriesDescription = "Lantern: marked pictures"
        made.ImageComments = WARNING
        _refer_to_source(made, context.sources[one.instance], one.frame)
        yield made


def make_plain_images(context: ResultContext) -> Iterator[Dataset]:
    """The pictures that came without a DICOM header, as the viewer shows them."""
    first = (context.view.drawn_version - 1) * len(context.view.images) + 1  # unique within the series, and rising
    for number, image in enumerate(context.view.images, first):
        folder = Path(image.display)
        if image.header is not None or not key_images.read_facts(folder, 0) or image.instance not in context.sources:
            continue
        source = context.sources[image.instance]
        made = _make_capture(
            context,
            _to_colour(key_images.load_frame(folder, 0)),
            source.SeriesInstanceUID,
            uid=source.SOPInstanceUID,
            type_=PLAIN_TYPE,
            number=number,
            instance=image.instance,
        )
        made.SeriesDescription = "Lantern: picture as it came"
        yield made


def add_caption(pixels: NDArray[np.uint8], words: str) -> NDArray[np.uint8]:
    """(H, W, 3): *pixels*, of at most `LONGEST_SIDE_PX`, above a black strip with *words* and the warning."""
    small = np.asarray(display.reduce_pixels(_to_colour(pixels), LONGEST_SIDE_PX))
    if max(small.shape[:2]) < _SMALLEST_PX:
        factor = -(-_SMALLEST_PX // max(small.shape[:2]))
        small = small.repeat(factor, 0).repeat(factor, 1)
    rows, columns = small.shape[:2]
    size = max(10, min(18, columns // 32))
    font = ImageFont.load_default(size)
    lines = [line for text in (words, WARNING) for line in _wrap_text(text, font, columns - 8)]
    strip = len(lines) * (size + 4) + 6
    canvas = Image.new("RGB", (columns, rows + strip))
    canvas.paste(Image.fromarray(small), (0, 0))
    drawing = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        drawing.text((4, rows + 3 + number * (size + 4)), line, fill=_INK, font=font)
    return np.asarray(canvas)


def _write_caption(one: KeyImage) -> str:
    """The findings in plain English and numbers: the burned-in letters must be legible in every viewer's country."""
    told = [_format_finding(finding) for finding in one.reading.findings]
    if others := one.reading.not_looked_for.get("en"):
        told.append(f"not looked for: {others}".encode("ascii", "replace").decode())
    pack = one.reading.pack
    return "; ".join([*told, *([f"{pack.name} {pack.version}"] if pack is not None else [])]) or "Not judged"


def _format_finding(finding: Finding) -> str:
    label = (finding.label.get("en") or finding.code).encode("ascii", "replace").decode()
    verdict = "found" if finding.positive else "not found"
    return f"{label}: {verdict}, {finding.probability:.2f} (threshold {finding.threshold:.2f})"


def _wrap_text(text: str, font: Any, width: int) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _to_colour(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)


def _number_instance(context: ResultContext, number: int) -> int:
    """The Instance Number: unique within the series, rising with the version."""
    return (context.view.drawn_version - 1) * key_images.MOST_KEY_IMAGES + number


def _make_capture(
    context: ResultContext,
    pixels: NDArray[np.uint8],
    series: UID,
    uid: UID,
    type_: ObjectType,
    number: int,
    instance: str,
) -> Dataset:
    source = context.sources[instance]
    made: Dataset = hd.sc.SCImage(
        pixel_array=np.ascontiguousarray(pixels),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        study_instance_uid=source.StudyInstanceUID,
        series_instance_uid=series,
        series_number=type_.series_number,
        sop_instance_uid=uid,
        instance_number=number,
        manufacturer=context.manufacturer,
        patient_id=source.PatientID,
        patient_name=source.PatientName,
        patient_birth_date=source.PatientBirthDate or None,
        patient_sex=source.PatientSex or None,
        accession_number=source.AccessionNumber,
        study_id=source.StudyID,
        study_date=source.StudyDate or None,
        study_time=source.StudyTime or None,
        referring_physician_name=source.ReferringPhysicianName,
        patient_orientation=("L", "F"),  # asked for by highdicom, and emptied below
        transfer_syntax_uid=ExplicitVRLittleEndian,
        specific_character_set="ISO_IR 192",
    )
    made.ConversionType = "WSD" if type_ is TYPE else "DI"
    made.ImageType = ["DERIVED" if type_ is TYPE else "ORIGINAL", "SECONDARY"]
    made.PatientOrientation = ""
    return made


def _refer_to_source(made: Dataset, source: Dataset, frame: int) -> None:
    """The source image (PS3.3 C.7.6.1.1.4) and what was done to it."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    if "NumberOfFrames" in source:
        item.ReferencedFrameNumber = frame + 1
    purpose = Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator = "121322", "DCM"
    purpose.CodeMeaning = "Source image for image processing operation"
    item.PurposeOfReferenceCodeSequence = [purpose]
    made.SourceImageSequence = [item]
    made.DerivationDescription = "outline or heat map of a neural network burned in"
