"""Beside a result a doctor reads what was not looked for, on every page and report."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from converters.packing.words import load_words
from firmware_app.core.records import PackIdentity, Reading, ReadingStatus, Scope, Timing
from firmware_app.results import case_json, case_text, overview
from firmware_app.results.case_view import CaseView
from firmware_app.results.pdf import contents
from tests import films, printed
from tests.results import make_case_view
from tests.unit.results.test_case_line import CASE, FINDING, READ, SCHEMA

OTHERS = {"en": "nodules, fractures", "zh_CN": "结节、骨折"}
SCOPED = replace(READ, not_looked_for=OTHERS)
SENTENCES = {"en": "Not looked for: nodules, fractures.", "zh_CN": "未判读：结节、骨折。"}
ADULT = Path("converters/recipes/chest-xray-adult.words.toml")


def make_view_of_others(tmp_path: Path, others: Mapping[str, str]) -> CaseView:
    film = films.save(tmp_path, "film.dcm", films.film())
    result = make_case_view(film, tmp_path / "display")
    first, *rest = result.case.readings
    readings = (replace(first, not_looked_for=others), *rest)
    return replace(result, case=replace(result.case, readings=readings))


@pytest.mark.parametrize("language", SENTENCES)
def test_text_report_and_sheet_say_what_was_not_looked_for(language: str) -> None:
    case, sentence = replace(CASE, readings=(SCOPED, *CASE.readings[1:])), SENTENCES[language]
    assert case_text.format_page(case, language).splitlines()[-1].strip() == sentence
    assert case_text.describe_case(case, language)[1] == sentence
    assert sentence in overview.render_overview([case], lambda _: None, language)
    line = case_json.case_to_json(case, language)
    jsonschema.validate(line, SCHEMA)
    assert line["readings"][0]["not_looked_for"] == OTHERS[language]


def test_it_is_said_once_for_several_images_and_for_each_pack() -> None:
    again = replace(SCOPED, instances=("i-2",))
    other = replace(
        SCOPED,
        pack=PackIdentity("other", "1.0.0", "onnxruntime", "int8"),
        not_looked_for={"en": "masses"},
        findings=(replace(FINDING, label={"en": "Fluid"}),),
    )
    assert case_text.list_not_looked_for((SCOPED, again, other), "en") == [SENTENCES["en"], "Not looked for: masses."]


def test_without_a_result_or_where_the_pack_does_not_say_it_nothing_is_said() -> None:
    reason = CASE.readings[1].reason
    nothing = Reading(
        Scope.INSTANCE, ("i-1",), ReadingStatus.CANNOT_JUDGE, reason, None, Timing(0, 0, 1), not_looked_for=OTHERS
    )
    assert case_text.list_not_looked_for((READ, nothing), "en") == []
    assert "not_looked_for" not in case_json.case_to_json(CASE, "en")["readings"][0]


def test_a_printed_report_says_it_under_the_findings(tmp_path: Path) -> None:
    result = make_view_of_others(tmp_path, OTHERS)
    told = contents.build_contents(result, (), "en")["findings"]
    assert told["scope"] == ["Not looked for: nodules, fractures."]
    printed.need_font()
    from firmware_app.results.pdf import typesetting

    assert "未判读：结节、骨折" in printed.extract_text(typesetting.typeset_report(result, "zh_CN"))


def test_what_is_signed_stays_as_it_was_and_what_a_pack_says_is_part_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent, told = make_view_of_others(tmp_path, {}), make_view_of_others(tmp_path, OTHERS)
    assert silent.state != told.state
    dumped: list[bytes] = []

    def kept(data: bytes) -> Any:
        dumped.append(data)
        return hashlib.blake2b(data)

    monkeypatch.setattr(hashlib, "sha256", kept)
    assert silent.state
    assert b"not_looked_for" not in dumped[0]  # as before there was such a field
    assert b'"findings"' in dumped[0]


def test_the_adults_chest_pack_says_that_nodules_fractures_and_the_heart_are_not_looked_for() -> None:
    words = load_words(ADULT)
    assert words.not_looked_for is not None
    assert [
        word for word in ("nodules", "fractures", "heart size", "pneumothorax") if word not in words.not_looked_for.en
    ] == []
    assert [word for word in ("结节", "骨折", "心影", "气胸") if word not in words.not_looked_for.zh] == []
    assert words.named[0].label.zh == "肺部阴影（肺炎或结核征象）"
