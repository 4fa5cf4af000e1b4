"""Segmentation: the outlines of the lesions as binary masks in the geometry of the source images.

One object for each series in a frame of reference, else for each picture or frame, with lesions that have an outline;
one segment for each lesion of the case, as it is in its best frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from firmware_app.results.case_view import CaseLesion
from firmware_app.results.dicom_objects import coded_concepts
from firmware_app.results.dicom_objects.result_context import ObjectType, ResultContext
from firmware_app.results.dicom_objects.source_headers import extract_frame

TYPE: Final = ObjectType("seg", 9103, orientation=("PatientOrientation",))
_PLACED: Final = frozenset(
    "1.2.840.10008.5.1.4.1.1." + suffix for suffix in ("2", "2.1", "2.2", "4", "4.1", "4.3", "4.4", "128", "130")
)
"""Classes whose images lie in a frame of reference (PS3.3 A.3, A.4, A.36, A.38): without it there is none."""
MOST_SEGMENTS: Final = 64
"""Of one object; a case with more lesions than that has marks on noise."""


def make_segmentations(context: ResultContext) -> Iterator[Dataset]:
    """The segmentations of the case, in the order in which their series came."""
    for number, lesions in enumerate(_group_lesions(context), 1):
        yield _make_segmentation(context, number, lesions[:MOST_SEGMENTS])


def _group_lesions(context: ResultContext) -> list[list[CaseLesion]]:
    """Lesions with an outline by what one object can hold: a series of single frames of one size, or one clip."""
    groups: dict[tuple[object, ...], list[CaseLesion]] = {}
    for case_lesion in context.lesions:
        lesion = case_lesion.lesion
        source = context.sources.get(lesion.instance)
        if source is None or not context.has_source_frame(lesion) or not (source.Rows and source.Columns):
            continue
        if not lesion.outline:
            continue
        if source.SOPClassUID in _PLACED and "FrameOfReferenceUID" not in source:
            continue
        alone = (lesion.instance, lesion.frame) if _is_alone(source) else None
        place = source.get("FrameOfReferenceUID")
        key = (source.SeriesInstanceUID, source.SOPClassUID, source.Rows, source.Columns, alone, place)
        groups.setdefault(key, []).append(case_lesion)
    return list(groups.values())


def _is_alone(source: Dataset) -> bool:
    """Whether each frame needs an object of its own: highdicom joins only what lies in one frame of reference."""
    return "NumberOfFrames" in source or "FrameOfReferenceUID" not in source


def _make_segmentation(context: ResultContext, number: int, lesions: list[CaseLesion]) -> Dataset:
    instances = list(dict.fromkeys(marked.lesion.instance for marked in lesions))
    sources = [context.sources[instance] for instance in instances]
    frame = lesions[0].lesion.frame
    is_clip = "NumberOfFrames" in sources[0]
    if is_clip:
        sources = [extract_frame(sources[0], min(frame, int(sources[0].NumberOfFrames) - 1))]
    rows, columns = int(sources[0].Rows), int(sources[0].Columns)
    masks = np.zeros((len(sources), rows, columns, len(lesions)), np.uint8)
    for segment, one in enumerate(lesions):
        corners = context.compute_corners(one.lesion, closed=False)
        masks[instances.index(one.lesion.instance), :, :, segment] = _fill_outline(corners, rows, columns)
    version = context.view.drawn_version
    made = hd.seg.Segmentation(
        source_images=sources,
        pixel_array=masks,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[_describe_segment(context, at, one) for at, one in enumerate(lesions, 1)],
        series_instance_uid=context.uids.derive_series(TYPE.kind),
        series_number=TYPE.series_number,
        sop_instance_uid=context.uids.derive_instance(version, TYPE.kind, number),
        instance_number=(version - 1) * 100 + number,
        manufacturer=context.manufacturer,
        manufacturer_model_name=context.model,
        software_versions=context.view.software[:64],
        device_serial_number=context.organization,
        content_label="LANTERN",
        content_description="lesions outlined by a neural network",
        content_creator_name="Lantern^",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        series_description="Lantern: lesions",
    )
    _replace_random_uids(made, context, number)
    if is_clip:
        _name_frame(made, context.sources[instances[0]].SOPClassUID, frame + 1)
    return made


def _replace_random_uids(made: Dataset, context: ResultContext, number: int) -> None:
    """Replace the UIDs that highdicom draws by chance."""
    dimension = context.uids.derive("dimension", context.view.drawn_version, TYPE.kind, number)
    for sequence in ("DimensionOrganizationSequence", "DimensionIndexSequence"):
        for item in made.get(sequence, []):
            if "DimensionOrganizationUID" in item:
                item.DimensionOrganizationUID = dimension


def _name_frame(made: Dataset, sop_class: str, frame: int) -> None:
    """Say of which class the clip is and which frame of it was marked; highdicom knew it as an image of one frame."""
    groups = made.PerFrameFunctionalGroupsSequence
    frames = [
        one
        for group in groups
        for derivation in group.get("DerivationImageSequence", [])
        for one in derivation.SourceImageSequence
    ]
    frames += made.get("SourceImageSequence", [])
    for one in frames:
        one.ReferencedFrameNumber = frame
    for one in (
        *frames,
        *(one for series in made.ReferencedSeriesSequence for one in series.ReferencedInstanceSequence),
    ):
        one.ReferencedSOPClassUID = sop_class


def _describe_segment(context: ResultContext, at: int, one: CaseLesion) -> hd.seg.SegmentDescription:
    pack = one.reading.pack
    assert pack is not None  # a reading with lesions names its pack
    return hd.seg.SegmentDescription(
        segment_number=at,
        segment_label=one.title,
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=coded_concepts.code_finding(one.finding, one.lesion.finding),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=pack.name, version=pack.version, family=codes.DCM.ArtificialIntelligence
        ),
        tracking_uid=context.uids.derive("tracking", *one.name),
        tracking_id=one.title,
    )


def _fill_outline(corners: NDArray[np.float64], rows: int, columns: int) -> NDArray[np.uint8]:
    canvas = Image.new("L", (columns, rows))
    # Corners lie between pixels (imaging.lesions.outlines), Pillow's on their middles.
    ImageDraw.Draw(canvas).polygon([(x - 0.5, y - 0.5) for x, y in corners.tolist()], fill=1)
    filled = np.array(canvas, dtype=np.uint8)
    if not filled.any():  # thinner than a pixel
        x, y = corners.mean(axis=0).tolist()
        filled[min(rows - 1, max(0, int(y))), min(columns - 1, max(0, int(x)))] = 1
    return filled
