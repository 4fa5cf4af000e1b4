"""Every refusal has one stable code and one sentence, in English and Chinese."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from firmware_app.core import errors, language
from firmware_app.core.errors import LanternError


def leaves(root: type[LanternError] = LanternError) -> Iterator[type[LanternError]]:
    for child in root.__subclasses__():
        if "code" in child.__dict__:
            yield child
        yield from leaves(child)


LEAVES = list(leaves())


def made(kind: type[LanternError]) -> LanternError:
    """An error of *kind* with a plausible value in each field."""
    return kind(**dict.fromkeys(kind.placeholders, "value"))


def test_every_code_is_well_formed_and_its_sentence_can_be_filled() -> None:
    assert len(LEAVES) > 100
    for kind in LEAVES:
        assert re.fullmatch(r"[a-z][a-z0-9_-]*(\.[a-z][a-z0-9_-]*)*", kind.code)
        sentence = made(kind).text("en")
        assert "{" not in sentence, kind.code
        assert len(sentence) > 20, kind.code


def test_no_two_errors_share_a_code() -> None:
    codes = [kind.code for kind in LEAVES]
    assert len(codes) == len(set(codes))


def test_the_sentence_uses_every_field_it_was_given() -> None:
    for kind in LEAVES:
        named = set(re.findall(r"{(\w+)", kind.sentence))
        assert named == set(kind.placeholders) - set(kind.unsaid), kind.code


def test_a_code_never_changes_its_sentence() -> None:
    with pytest.raises(ValueError, match=r"intake\.truncated"):
        language.register("intake.truncated", "Something else.")


def test_a_code_from_a_newer_version_is_still_shown() -> None:
    assert "future.code" in language.render_sentence("future.code", {}, "en")


def test_dicom_statuses_of_refusals_are_failures() -> None:
    kinds = [kind for kind in LEAVES if issubclass(kind, errors.IntakeError)]
    assert len(kinds) > 10
    for kind in kinds:  # PS3.4 Table B.2-1: refused A7xx, does not match A9xx, cannot understand Cxxx
        assert kind.dimse_status >> 8 in {0xA7, 0xA9} or kind.dimse_status >> 12 == 0xC


def test_a_sentence_calls_a_code_of_dicom_by_the_word_that_people_use() -> None:
    named = errors.BodyPartNotCovered(body_part="ABDOMEN+CHEST").text
    assert "(abdomen, chest)" in named("en")
    assert "（腹部、胸部）" in named("zh_CN")
    assert "“超声”" in errors.ModalityNotCovered(modality="US").text("zh_CN")
    assert "(PELVICFLOOR)" in errors.BodyPartNotCovered(body_part="PELVICFLOOR").text("en")
    for kind in (errors.Undecodable, errors.PixelsUnsupported, errors.DecodeGaveUp, errors.InferenceGaveUp):
        assert "frame 3 of the" not in kind(detail="frame 3 of the clip").text("zh_CN")
