"""The profile of PS3.15 Annex E on every attribute that it names, and on every text that it does not name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.datadict import DicomDictionary, dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from firmware_app.imaging import deidentification, deidentified_header
from firmware_app.imaging.deidentified_header import ProfileAction, Pseudonyms
from tests import films

IDENTITIES = Pseudonyms(b"a secret of the box, 32 bytes lon")
STUDY = "1.2.826.0.1.3680043.9.1"

CANARIES = ("ZHANGSAN", "张三", "19650302", "056Y", "130501.77", "1.2.826.99.411521", "canary.invalid")
_TEXTS: dict[str, Any] = {
    **dict.fromkeys(("PN", "LO", "SH", "ST", "LT", "UT", "UC"), "ZHANGSAN张三"),
    **dict.fromkeys(("CS", "AE"), "ZHANGSAN"),
    "DA": "19650302",
    "DT": "19650302130501.77",
    "TM": "130501.77",
    "AS": "056Y",
    "UI": "1.2.826.99.411521",
    "UR": "http://canary.invalid/ZHANGSAN",
    **dict.fromkeys(("OB", "UN", "OW", "OL", "OD", "OF", "OV"), b"ZHANGSAN" * 8),
}
_NUMBERS: dict[str, Any] = {
    **dict.fromkeys(("US", "SS", "UL", "SL", "UV", "SV"), 7),
    **dict.fromkeys(("FL", "FD"), 7.0),
    **dict.fromkeys(("DS", "IS"), "7"),
    "AT": 0x00100010,
}
# Without these there is no image to be exported.
_NEEDED = {"PhotometricInterpretation", "SpecificCharacterSet", "PixelData", "FloatPixelData", "DoubleFloatPixelData"}


def value_of(vr: str) -> Any:
    first = vr.split(" or ")[0]
    return [Dataset()] if first == "SQ" else _TEXTS.get(first, _NUMBERS.get(first))


def element(tag: int, vr: str | None = None) -> DataElement:
    vr = (vr or dictionary_VR(tag)).split(" or ")[0]
    value = value_of(vr)
    if vr == "SQ":
        inside = Dataset()
        inside.PatientComments = "ZHANGSAN"
        inside.ReferencedSOPInstanceUID = "1.2.826.99.411521"
        value = Sequence([inside])
    return DataElement(tag, vr, value)


def nest_element(one: DataElement) -> Dataset:
    """*one* at the top level, and two sequences deep."""
    data, middle, inner = Dataset(), Dataset(), Dataset()
    data.SOPClassUID, data.SOPInstanceUID = SecondaryCaptureImageStorage, "2.25.1"
    inner[one.tag] = one
    middle.PixelMeasuresSequence = [inner]
    data.SharedFunctionalGroupsSequence = [middle]
    data[one.tag] = one
    return data


TABLE = sorted(deidentified_header.profile_actions().items())


def test_the_table_is_the_whole_table_of_its_edition() -> None:
    """PS3.15 2026c, Table E.1-1: one row for curves and two for overlays are groups and not counted here."""
    assert len(TABLE) == 652
    assert (
        deidentified_header.profile_action(0x50041234)
        is deidentified_header.profile_action(0x60023000)
        is deidentified_header.profile_action(0x00091001)
        is ProfileAction.REMOVE
    )
    assert deidentified_header.profile_action(Tag("PatientName")) is ProfileAction.EMPTY
    assert deidentified_header.profile_action(Tag("SOPInstanceUID")) is ProfileAction.NEW_UID
    assert deidentified_header.profile_action(Tag("Rows")) is None


@pytest.mark.parametrize("depth", ["top", "nested"])
def test_every_attribute_of_the_profile_comes_out_as_its_action_says(depth: str) -> None:
    for tag, action in TABLE:
        if tag in (Tag("PatientName"), Tag("PatientID")):
            continue  # renamed, see below
        one = element(tag, None if dictionary_has_tag(tag) else "LO")
        result = deidentified_header.clean_header(nest_element(one), IDENTITIES)
        place = result if depth == "top" else result.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        actual, name = place.get(tag), f"{Tag(tag)} {action}"
        if (
            action is ProfileAction.REMOVE or not dictionary_has_tag(tag) or Tag(tag).group < 8
        ):  # no data set's, PS3.5 7.1
            assert actual is None, name
        elif action is ProfileAction.EMPTY:
            assert actual is not None, name
            assert actual.is_empty, name
        elif action is ProfileAction.NEW_UIDS_INSIDE:
            assert actual.value[0].ReferencedSOPInstanceUID == IDENTITIES.uid("1.2.826.99.411521"), name
            assert "PatientComments" not in actual.value[0], name
        elif one.VR == "UI":
            assert actual.value == IDENTITIES.uid("1.2.826.99.411521"), name
        else:
            assert not actual.is_empty, name
            assert actual.value != one.value, name
            assert "ZHANGSAN" not in str(actual), name


def canary_object() -> Dataset:
    """Every attribute of the dictionary that can hold text, holding one that names somebody."""
    data = Dataset()
    for tag, (vr, *_, keyword) in DicomDictionary.items():
        if tag >> 16 < 8 or keyword in _NEEDED or tag >> 16 >= 0x7FE0 or not keyword:
            continue
        kind = vr.split(" or ")[0]
        if kind in _TEXTS and tag not in deidentified_header.TABLE_TAGS:
            data[tag] = DataElement(tag, kind, _TEXTS[kind])
    return data


def write_canary(folder: Path) -> Path:
    film = films.film(films.shapes(1))
    top, middle, inner = canary_object(), Dataset(), canary_object()
    middle.PixelMeasuresSequence = [inner]
    top.SharedFunctionalGroupsSequence = [middle]
    top.ConceptNameCodeSequence = [canary_object()]
    for data in (top, inner):
        block = data.private_block(0x0029, "ZHANGSAN", create=True)
        block.add_new(0x01, "LO", "ZHANGSAN张三")
        block.add_new(0x02, "SQ", [canary_object()])
        data[0x50000005] = DataElement(0x50000005, "US", 1)
        data[0x50003000] = DataElement(0x50003000, "OW", b"ZHANGSAN")
        data[0x50000022] = DataElement(0x50000022, "LO", "ZHANGSAN")
        data[0x60000010] = DataElement(0x60000010, "US", 8)
        data[0x60003000] = DataElement(0x60003000, "OW", b"ZHANGSAN")
        data[0x60004000] = DataElement(0x60004000, "LT", "ZHANGSAN")
        data[0x60001500] = DataElement(0x60001500, "LO", "ZHANGSAN")
    top.update({one.tag: one for one in film if one.tag.group == 0x0028 or one.tag.group == 0x7FE0})
    top.SpecificCharacterSet = "ISO_IR 192"
    top[0xFFFCFFFC] = DataElement(0xFFFCFFFC, "OB", b"ZHANGSAN")
    top.file_meta = film.file_meta
    top.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    top.file_meta.MediaStorageSOPInstanceUID = UID("1.2.826.99.411521")
    top.file_meta.SourceApplicationEntityTitle = "ZHANGSAN"
    top.file_meta.PrivateInformationCreatorUID = UID("1.2.826.99.411521")
    top.file_meta.PrivateInformation = b"ZHANGSAN"
    top.preamble = b"ZHANGSAN" * 16
    path = folder / "planted.dcm"
    top.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.filterwarnings("ignore")
def test_a_name_planted_in_every_text_of_the_dictionary_is_nowhere_in_the_bytes(tmp_path: Path) -> None:
    path, out = write_canary(tmp_path), tmp_path / "out.dcm"
    before, writing_it = (
        path.read_bytes(),
        deidentification.write_deidentified(path, out, IDENTITIES, None, looked=True),
    )
    after = out.read_bytes()
    for canary in CANARIES:
        for encoding in ("utf-8", "gb18030", "utf-16-le"):
            assert canary.encode(encoding) not in after, canary
        assert canary.encode() in before
    assert writing_it.bytes == len(after)
    assert np.array_equal(dcmread(out).pixel_array, films.shapes(1))


def test_text_in_a_number_s_place_goes_and_numbers_stay() -> None:
    data = Dataset()
    data.SOPInstanceUID, data.KVP, data.SliceThickness = "2.25.1", "120.50", "1.25"
    data.WindowCenter = ["40", "-600.5"]
    cleaned = deidentified_header.clean_header(data, IDENTITIES)
    assert (str(cleaned.KVP), [str(one) for one in cleaned.WindowCenter]) == ("120.50", ["40", "-600.5"])
    assert deidentified_header.check_decimals(["120", "ZHANG"]) is None
    assert deidentified_header.check_decimals(["4115211965030212345678"]) is None


def test_a_value_that_the_standard_does_not_list_does_not_stay_in_a_coded_string() -> None:
    data = Dataset()
    data.SOPInstanceUID, data.Modality, data.BodyPartExamined = "2.25.1", "US", "ZHANGSAN"
    data.ImageType = ["ORIGINAL", "PRIMARY", "ZHANGSAN", "0011"]
    data.PatientOrientation = ["L", "ZHANGSAN"]
    cleaned = deidentified_header.clean_header(data, IDENTITIES)
    assert cleaned.Modality == "US"
    assert "BodyPartExamined" not in cleaned
    assert list(cleaned.ImageType) == ["ORIGINAL", "PRIMARY", "OTHER", "0011"]
    assert cleaned["PatientOrientation"].is_empty


def test_a_code_is_written_again_in_the_standard_s_words_or_goes() -> None:
    known, typed, data = Dataset(), Dataset(), Dataset()
    known.CodeValue, known.CodingSchemeDesignator, known.CodeMeaning = "76752008", "SCT", "ZHANGSAN's breast"
    typed.CodeValue, typed.CodingSchemeDesignator, typed.CodeMeaning = "411521", "99LOCAL", "ZHANGSAN"
    data.SOPInstanceUID, data.AnatomicRegionSequence = "2.25.1", [known, typed]
    (again,) = deidentified_header.clean_header(data, IDENTITIES).AnatomicRegionSequence
    assert (again.CodeValue, again.CodingSchemeDesignator, again.CodeMeaning) == (
        "76752008",
        "SCT",
        "Breast structure (body structure)",
    )


def test_one_patient_gets_one_name_and_another_patient_another() -> None:
    def named(patient: str, key: bytes = b"k" * 32) -> str:
        data = Dataset()
        data.PatientID, data.PatientName, data.SOPInstanceUID = patient, "ZHANG^SAN", "2.25.1"
        cleaned = deidentified_header.clean_header(data, Pseudonyms(key))
        assert cleaned.PatientID == str(cleaned.PatientName)
        return str(cleaned.PatientID)

    assert named("4711") == named("4711 ")
    assert named("4711") != named("4712")
    assert named("4711") != named("4711", b"q" * 32)
    assert re.fullmatch(r"P-[0-9A-F]{12}", named("4711"))


@given(st.text(alphabet="0123456789.", min_size=1, max_size=64))
def test_a_new_uid_is_valid_and_the_same_every_time(old: str) -> None:
    new = UID(IDENTITIES.uid(old))
    assert new.is_valid
    assert new == IDENTITIES.uid(old + "\0")
    assert new != Pseudonyms(b"another").uid(old)
    assert new.startswith("2.25.")


def test_a_uid_that_the_standard_defines_stays() -> None:
    assert IDENTITIES.uid("1.2.840.10008.5.1.4.1.1.6.1") == "1.2.840.10008.5.1.4.1.1.6.1"
    assert IDENTITIES.uid("") == ""


def test_references_within_a_study_still_lead_to_their_images() -> None:
    cleaned = []
    for number in range(3):
        data, other = Dataset(), Dataset()
        data.StudyInstanceUID, data.SeriesInstanceUID = STUDY, STUDY + ".1"
        data.FrameOfReferenceUID, data.SOPInstanceUID = STUDY + ".9", f"{STUDY}.1.{number}"
        other.ReferencedSOPInstanceUID = f"{STUDY}.1.{(number + 1) % 3}"
        other.ReferencedSOPClassUID = SecondaryCaptureImageStorage
        data.ReferencedImageSequence = [other]
        cleaned.append(deidentified_header.clean_header(data, IDENTITIES))
    for number, one in enumerate(cleaned):
        (other,) = one.ReferencedImageSequence
        assert other.ReferencedSOPInstanceUID == cleaned[(number + 1) % 3].SOPInstanceUID
        assert other.ReferencedSOPClassUID == SecondaryCaptureImageStorage
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        assert len({str(one[keyword].value) for one in cleaned}) == 1
    assert len({one.SOPInstanceUID for one in cleaned}) == 3


def test_the_object_says_what_was_done_to_it(tmp_path: Path) -> None:
    path, out = films.save(tmp_path, "film.dcm", films.film(films.shapes(2))), tmp_path / "out.dcm"
    deidentification.write_deidentified(path, out, IDENTITIES, None, looked=True)
    cleaned = dcmread(out)
    assert (cleaned.PatientIdentityRemoved, cleaned.LongitudinalTemporalInformationModified) == ("YES", "REMOVED")
    assert cleaned.BurnedInAnnotation == "NO"
    assert [item.CodeValue for item in cleaned.DeidentificationMethodCodeSequence] == ["113100", "113101"]
    assert "PS3.15 2026c Annex E Basic Profile" in cleaned.DeidentificationMethod
    assert "text in pixels: a person looked, no detector" in cleaned.DeidentificationMethod
    assert cleaned.file_meta.MediaStorageSOPInstanceUID == cleaned.SOPInstanceUID
    assert out.read_bytes()[:128] == bytes(128)
