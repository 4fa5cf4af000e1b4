"""What all result objects of one case share: sources, UIDs, equipment, dates, and the mark that identifies them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from firmware_app.core.lesion import Lesion
from firmware_app.dicom import file_meta, sop_classes
from firmware_app.imaging.pixel_size import SQUARE
from firmware_app.results import key_images
from firmware_app.results.case_view import CaseLesion, CaseView, SourceImage
from firmware_app.results.dicom_objects.coded_concepts import ResultUids
from firmware_app.results.dicom_objects.source_headers import clean_person_name, read_source

WARNING: Final = "AI-assisted, not for diagnostic use without a doctor"


@dataclass(frozen=True, slots=True)
class ObjectType:
    """What is fixed for all result objects of one kind."""

    kind: str
    """Short name in file names, in the configuration and in our private element."""
    series_number: int
    """Of its series in the study, from 9101: far above what modalities count to."""
    has_text: bool = False
    """Every version of the case is a new object; without text only a change of the pictures makes one."""
    orientation: tuple[str, ...] = ()
    """Type 2 attributes of side and orientation; empty where unknown (PS3.3 C.7.3.1, C.7.6.1)."""


@dataclass(slots=False)
class ResultContext:
    """What the makers of the objects of *view* share."""

    view: CaseView
    sources: Mapping[str, Dataset] = field(repr=False)
    """The checked headers by the reference of the instance, in order of arrival."""
    pdf: bytes | None = field(default=None, repr=False)
    """The printed report, where one is wanted."""

    @cached_property
    def uids(self) -> ResultUids:
        return derive_uids(self.view)

    @property
    def manufacturer(self) -> str:
        return sop_classes.OWN_MANUFACTURER

    @property
    def model(self) -> str:
        return sop_classes.OWN_MODEL

    @property
    def organization(self) -> str:
        return self.view.box[:64] or "Lantern"

    @property
    def device_uid(self) -> UID:
        return ResultUids(bytes.fromhex(self.view.key), "").derive("device")

    @property
    def any_source(self) -> Dataset:
        return next(iter(self.sources.values()))

    def find_creation_time(self, type_: ObjectType) -> datetime:
        """When the objects of *type_* were first made as they are."""
        at = self.view.made_at if type_.has_text else self.view.drawn_at
        return datetime.fromisoformat(at or self.view.made_at)

    def find_image(self, instance: str) -> SourceImage:
        return next(image for image in self.view.images if image.instance == instance)

    def find_display(self, instance: str) -> Path:
        return Path(self.find_image(instance).display)

    def format_account_name(self, account: str) -> str:
        """An account's name as a PN."""
        name = clean_person_name(account.replace("^", " ").replace("=", " ")) or "unknown"
        return f"{name}^"  # PS3.5 6.2.1: a name that is not divided into components is a family name

    @cached_property
    def lesions(self) -> list[CaseLesion]:
        """The lesions of the case, in its order, with their readings and marks."""
        return self.view.marked_lesions

    def compute_corners(self, lesion: Lesion, *, closed: bool) -> NDArray[np.float64]:
        """(N, 2) corners of the outline, or of the box, within the frame (PS3.3 C.10.5.1.2: column\\row)."""
        x0, y0, x1, y1 = lesion.box
        points = np.array(lesion.outline or ((x0, y0), (x1, y0), (x1, y1), (x0, y1)), dtype=np.float64)
        source = self.sources[lesion.instance]
        most = (max(1, int(source.Columns)), max(1, int(source.Rows)))
        points = np.clip(points * self._compute_scales(lesion), (0.0, 0.0), most).round(2)
        return np.vstack([points, points[:1]]) if closed else points

    def compute_scale(self, lesion: Lesion) -> float:
        """Pixels of the source as archives have it to one pixel in which lengths of *lesion* are told.

        It is not 1 for a large picture without a header: `secondary_capture.make_plain_images` writes it as the viewer
        shows it.
        """
        return min(self._compute_scales(lesion))  # lengths are told in the shorter side of a pixel

    def _compute_scales(self, lesion: Lesion) -> tuple[float, float]:
        """Pixels of the source to one pixel of the frame that was read, across and down."""
        source, picture = self.sources[lesion.instance], lesion.picture
        if (
            self.find_image(lesion.instance).header is not None
            or picture is None
            or not (source.Columns and source.Rows)
        ):
            return 1.0, 1.0
        return int(source.Columns) / picture[0], int(source.Rows) / picture[1]

    def compute_aspect(self, instance: str) -> float:
        """The height of a pixel of the source as archives have it over its width."""
        image = self.find_image(instance)
        return (
            float(key_images.read_facts(Path(image.display), 0).get("aspect", SQUARE))
            if image.header is not None
            else SQUARE
        )

    def has_source_frame(self, lesion: Lesion) -> bool:
        """Whether its frame is in the source as archives have it: of a clip without a header they have the first."""
        image = next(
            (source_image for source_image in self.view.images if source_image.instance == lesion.instance), None
        )
        return lesion.instance in self.sources and image is not None and (image.header is not None or lesion.frame == 0)

    def finish(self, made: Dataset, type_: ObjectType) -> Dataset:
        """Give *made* its dates and its mark; with the same result it has the same bytes."""
        at = self.find_creation_time(type_)
        day, time = at.strftime("%Y%m%d"), at.strftime("%H%M%S")
        for what in ("InstanceCreation", "Content", "Series", "PresentationCreation"):
            if f"{what}Date" in made or what == "InstanceCreation":
                setattr(made, f"{what}Date", day)
                setattr(made, f"{what}Time", time)
        if "DateOfSecondaryCapture" in made:
            made.DateOfSecondaryCapture, made.TimeOfSecondaryCapture = day, time
        for equipment in made.get("ContributingEquipmentSequence", []):
            equipment.ContributionDateTime = day + time
        for keyword in ("StudyDescription", "IssuerOfPatientID", "PatientAge", "TimezoneOffsetFromUTC"):
            if keyword in self.any_source and keyword not in made:
                setattr(made, keyword, self.any_source.get(keyword))
        for keyword in type_.orientation:
            setattr(made, keyword, made.get(keyword) or "")
        made.SpecificCharacterSet = "ISO_IR 192"
        made.Manufacturer, made.ManufacturerModelName = self.manufacturer, self.model
        made.SoftwareVersions = self.view.software[:64]
        made.InstitutionName = self.organization
        made.InstanceCreatorUID = self.device_uid
        block = made.private_block(sop_classes.OWN_GROUP, sop_classes.OWN_CREATOR, create=True)
        block.add_new(0x01, "CS", type_.kind.upper())
        made.file_meta = _make_file_meta(made)
        return made


def derive_uids(view: CaseView) -> ResultUids:
    return ResultUids(bytes.fromhex(view.key), view.case.reference or "")


def load_context(view: CaseView, pdf: bytes | None = None) -> ResultContext:
    """Read the header of each image of *view* that can be read; raises `Undecodable` where none can."""
    uids = derive_uids(view)
    return ResultContext(view, {image.instance: read_source(image, view, uids) for image in view.images}, pdf)


def _make_file_meta(made: Dataset) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = made.SOPClassUID, made.SOPInstanceUID
    before = getattr(made, "file_meta", None)
    meta.TransferSyntaxUID = before.TransferSyntaxUID if before is not None else ExplicitVRLittleEndian
    meta.ImplementationClassUID, meta.ImplementationVersionName = (
        UID(file_meta.IMPLEMENTATION_CLASS_UID),
        file_meta.IMPLEMENTATION_VERSION_NAME,
    )
    return meta
