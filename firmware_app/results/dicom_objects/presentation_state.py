"""Softcopy Presentation State: outlines and boxes of the lesions as graphics over the untouched source images.

Every mark of every frame is drawn, under the number that its lesion has in the case.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import highdicom as hd
from highdicom.pr import (
    AnnotationUnitsValues,
    ColorSoftcopyPresentationState,
    GraphicAnnotation,
    GraphicLayer,
    GraphicObject,
    GraphicTypeValues,
    GrayscaleSoftcopyPresentationState,
    TextObject,
)
from PIL import ImageCms
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from firmware_app.core.lesion import Lesion
from firmware_app.imaging.pixel_size import SQUARE
from firmware_app.results import key_images
from firmware_app.results.case_view import CaseLesion
from firmware_app.results.dicom_objects.result_context import WARNING, ObjectType, ResultContext

TYPE: Final = ObjectType("pr", 9104, orientation=("Laterality",))
MOST_LESIONS: Final = 200
_MarkedLesion = tuple[CaseLesion, Lesion]
"""A lesion of the case, and one of its marks."""
_GREY: Final = ("MONOCHROME1", "MONOCHROME2")


def make_presentations(context: ResultContext) -> Iterator[Dataset]:
    """One presentation state for each series and size of image that has lesions."""
    for number, lesions in enumerate(_group_lesions(context), 1):
        yield _make_presentation(context, number, lesions[:MOST_LESIONS])


def _group_lesions(context: ResultContext) -> list[list[_MarkedLesion]]:
    groups: dict[tuple[object, ...], list[_MarkedLesion]] = {}
    for one, mark in ((lesion, mark) for lesion in context.lesions for mark in lesion.marks):
        source = context.sources.get(mark.instance)
        if source is None or not context.has_source_frame(mark) or not (source.Rows and source.Columns):
            continue
        if not _is_grey(source) and source.SamplesPerPixel != 3:  # a palette would have to be copied
            continue
        clip = mark.instance if "NumberOfFrames" in source else ""
        aspect = context.compute_aspect(mark.instance)
        key = (
            source.SeriesInstanceUID,
            source.SOPClassUID,
            source.Rows,
            source.Columns,
            clip,
            aspect,
            _is_grey(source),
        )
        groups.setdefault(key, []).append((one, mark))
    return list(groups.values())


def _make_presentation(context: ResultContext, number: int, lesions: list[_MarkedLesion]) -> Dataset:
    instances = list(dict.fromkeys(mark.instance for _, mark in lesions))
    sources = [context.sources[instance] for instance in instances]
    layer = GraphicLayer("LANTERN", order=1, description="Lesions marked by a neural network")
    version = context.view.drawn_version
    common: dict[str, Any] = {
        "referenced_images": sources,
        "series_instance_uid": context.uids.derive_series(TYPE.kind),
        "series_number": TYPE.series_number,
        "sop_instance_uid": context.uids.derive_instance(version, TYPE.kind, number),
        "instance_number": (version - 1) * 100 + number,
        "manufacturer": context.manufacturer,
        "manufacturer_model_name": context.model,
        "software_versions": context.view.software[:64],
        "device_serial_number": context.organization,
        "content_label": "LANTERN",
        "content_description": WARNING,
        "graphic_layers": [layer],
        "graphic_annotations": [_make_annotation(context, layer, *lesion) for lesion in lesions],
        "content_creator_name": "Lantern^",
        "transfer_syntax_uid": ExplicitVRLittleEndian,
        "series_description": "Lantern: marks over the images",
    }
    if not _is_grey(sources[0]):
        return _set_pixel_shape(
            ColorSoftcopyPresentationState(**common, icc_profile=_make_srgb_profile()),
            context.compute_aspect(instances[0]),
        )
    window = _find_window(context, lesions[0][1])
    made = GrayscaleSoftcopyPresentationState(
        **common,
        voi_lut_transformations=[window] if window is not None else None,
        presentation_lut_transformation=hd.PresentationLUTTransformation(
            presentation_lut_shape="INVERSE" if sources[0].PhotometricInterpretation == "MONOCHROME1" else "IDENTITY"
        ),
    )
    return _set_pixel_shape(made, context.compute_aspect(instances[0]))


def _set_pixel_shape(made: Dataset, aspect: float) -> Dataset:
    """*made* with the shape of the images' pixels (PS3.3 C.10.4); highdicom always writes that they are square."""
    if aspect != SQUARE:
        for area in made.DisplayedAreaSelectionSequence:
            area.PresentationPixelAspectRatio = [round(1000 * aspect), 1000]
    return made


def _make_annotation(context: ResultContext, layer: GraphicLayer, one: CaseLesion, mark: Lesion) -> GraphicAnnotation:
    source, name = context.sources[mark.instance], one.title
    uid = context.uids.derive("tracking", *one.name)
    corners = context.compute_corners(mark, closed=True)
    anchor = (float(corners[0][0]), float(corners[0][1]))
    return GraphicAnnotation(
        referenced_images=[source],
        graphic_layer=layer,
        referenced_frame_number=mark.frame + 1 if "NumberOfFrames" in source else None,
        graphic_objects=[
            GraphicObject(
                GraphicTypeValues.POLYLINE,
                corners,
                AnnotationUnitsValues.PIXEL,
                tracking_id=name,
                tracking_uid=hd.UID(uid),
            )
        ],
        text_objects=[
            TextObject(
                f"{name}: {mark.score:.2f}",
                AnnotationUnitsValues.PIXEL,
                anchor_point=anchor,
                anchor_point_visible=False,
                tracking_id=name,
                tracking_uid=hd.UID(uid),
            )
        ],
    )


def _find_window(context: ResultContext, lesion: Lesion) -> hd.pr.SoftcopyVOILUTTransformation | None:
    """The window with which the viewer first shows the frame, in values after the modality transform."""
    facts = key_images.read_facts(context.find_display(lesion.instance), lesion.frame)
    window, slope = facts.get("window"), float(facts.get("slope") or 0.0)
    if not window or not slope or "RescaleSlope" not in context.sources[lesion.instance]:
        return None
    centre = float(window["centre"]) * slope + float(facts.get("intercept") or 0.0)
    width = max(1.0, abs(float(window["width"]) * slope))
    return hd.pr.SoftcopyVOILUTTransformation(window_center=float(f"{centre:.7g}"), window_width=float(f"{width:.7g}"))


@cache
def _make_srgb_profile() -> bytes:
    """The ICC profile of sRGB, as an input device's (PS3.3 C.11.15), with a fixed date so that it never varies."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[12:16] = b"scnr"  # ICC.1 7.2.7
    profile[24:36] = struct.pack(">6H", 2026, 1, 1, 0, 0, 0)
    return bytes(profile)


def _is_grey(source: Dataset) -> bool:
    return source.PhotometricInterpretation in _GREY
