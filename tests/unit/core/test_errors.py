"""Every refusal has one stable code and one sentence, in English and Chinese."""

from __future__ import annotations

import importlib
import re
import sys
from typing import Any

import pytest

from firmware_app.cases.errors import DecodeGaveUp, InferenceGaveUp
from firmware_app.core import language
from firmware_app.core.errors import LanternError, Undecodable
from firmware_app.core.errors.base import Refusal, errors_of
from firmware_app.dicom.errors import IntakeError
from firmware_app.imaging.errors import PixelsUnsupported
from firmware_app.reading.errors import BODY_PART_NOT_COVERED, MODALITY_NOT_COVERED
from tests import source
from tests.statement import dimse_status_of

language.import_errors()
importlib.import_module("hospital.errors")
ALL = errors_of(LanternError)
REFUSALS = {
    name: entry
    for module in [name for name in sys.modules if name.endswith(".errors") or ".errors." in name]
    for name, entry in vars(sys.modules[module]).items()
    if isinstance(entry, Refusal)
}
OURS = ("firmware_app", "web", "hospital", "converters", "demo")


def make_error(kind: type[LanternError] | Refusal[Any]) -> LanternError:
    """An error of *kind* with a plausible value in each field."""
    return kind(**dict.fromkeys(kind.placeholders, "value"))


def test_every_code_is_well_formed_and_its_sentence_can_be_filled() -> None:
    assert len(ALL) > 400
    for kind in ALL:
        assert re.fullmatch(r"[a-z][a-z0-9_-]*(\.[a-z][a-z0-9_-]*)*", kind.code)
        sentence = make_error(kind).text("en")
        assert "{" not in sentence, kind.code
        assert len(sentence) > 20, kind.code


def test_no_two_errors_share_a_code() -> None:
    codes = [kind.code for kind in ALL]
    assert len(codes) == len(set(codes))


def test_the_sentence_uses_every_field_it_was_given() -> None:
    for kind in ALL:
        named = set(re.findall(r"{(\w+)", kind.sentence))
        assert named == set(kind.placeholders) - set(kind.unsaid), kind.code


def test_a_refusal_takes_exactly_its_placeholders() -> None:
    # Its code is known from now on, to the tests of the handbook too: one that the doctor never says.
    refusal = Refusal(LanternError, "other.takes", "It takes {one}.", unsaid=("other",))
    assert str(refusal(one="this", other="that")) == "other.takes: It takes this. (that)"
    for wrong in ({}, {"one": "this"}, {"one": "this", "other": "that", "third": "more"}):
        with pytest.raises(TypeError, match="takes one, other"):
            refusal(**wrong)


def test_every_place_that_raises_a_refusal_names_its_placeholders() -> None:
    """Only where the details are spread from a mapping does nothing but the call itself check them."""
    checked = 0
    for path in source.files(*OURS):
        for call in source.read(path).calls:
            if (entry := REFUSALS.get(source.name_of(call))) is None or any(
                keyword.arg is None for keyword in call.keywords
            ):
                continue
            checked += 1
            given = {str(keyword.arg) for keyword in call.keywords}
            assert not call.args, f"{path}:{call.lineno}"
            assert given | entry.usual.keys() == set(entry.placeholders), f"{path}:{call.lineno}"
    assert checked > 300


def test_a_code_never_changes_its_sentence() -> None:
    with pytest.raises(ValueError, match=r"intake\.truncated"):
        language.register("intake.truncated", "Something else.")


def test_a_code_from_a_newer_version_is_still_shown() -> None:
    assert "future.code" in language.render_sentence("future.code", {}, "en")


def test_dicom_statuses_of_refusals_are_failures() -> None:
    statuses = [dimse_status_of(kind) for kind in errors_of(IntakeError)]
    assert len(statuses) > 10
    for status in statuses:  # PS3.4 Table B.2-1: refused A7xx, does not match A9xx, cannot understand Cxxx
        assert status >> 8 in {0xA7, 0xA9} or status >> 12 == 0xC


def test_a_sentence_calls_a_code_of_dicom_by_the_word_that_people_use() -> None:
    named = BODY_PART_NOT_COVERED(body_part="ABDOMEN+CHEST").text
    assert "(abdomen, chest)" in named("en")
    assert "（腹部、胸部）" in named("zh_CN")
    assert "“超声”" in MODALITY_NOT_COVERED(modality="US").text("zh_CN")
    assert "(PELVICFLOOR)" in BODY_PART_NOT_COVERED(body_part="PELVICFLOOR").text("en")
    for kind in (Undecodable, PixelsUnsupported, DecodeGaveUp, InferenceGaveUp):
        assert "frame 3 of the" not in kind(detail="frame 3 of the clip").text("zh_CN")
