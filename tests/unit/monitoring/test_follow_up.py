"""What should follow, by a pack's cited rules; the facts of a patient raise it, and no probability moves."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from converters import recipe
from converters.failures import RecipeInvalid
from converters.packing.words import load_words
from firmware_app.cases.follow_up import find_advice
from firmware_app.core.records import Feature, Finding, FollowUp, Lesion, LesionSightings
from firmware_app.packs.follow_up_rules import FollowUpRules
from firmware_app.results.case_json import case_to_json
from tests.unit.results.test_case_line import CASE, SCHEMA

PACK = "toy", "1.0.0"
CONVERTERS = Path(recipe.__file__).parent


def words(english: str) -> dict[str, str]:
    return {"en": english, "zh": f"（{english}）"}


def row(code: str, **says: Any) -> dict[str, Any]:
    rule, source = words(f"Rule {code}"), "Guideline of a Society, 2020;1:2"
    return {"code": code, "advice": words(f"Do {code}."), "rule": rule, "source": source, **says}


RULES = FollowUpRules.model_validate(
    {
        "background": [
            {"code": "virus", "label": words("a virus"), "diagnoses": ["I10:B18.1", "I10:B18.0"]},
            {"code": "family", "label": words("family history")},
        ],
        "rows": [
            row("nothing", nothing=True),
            row("surveillance", nothing=True, background=["virus"]),
            row("small", finding="mass", long_axis_mm={"below": 10.0}),
            row("small_virus", finding="mass", long_axis_mm={"below": 10.0}, background=["virus"]),
            row("large", finding="mass", long_axis_mm={"at_least": 10.0}),
            row("irregular", finding="mass", features={"shape": ["irregular", "round"]}, background=["family"]),
            row("suspicious", finding="malignant", score={"at_least": 0.3}),
            row("positive", positive=["malignant"], background=["family"]),
        ],
    }
)
HIGH, LOW = Finding("malignant", words("x"), 0.9, 0.5), Finding("malignant", words("x"), 0.1, 0.5)


def mass(size: float | None = None, **more: Any) -> Lesion:
    return Lesion("i-1", 0, (1.0, 2.0, 30.0, 40.0), 0.8, long_axis_mm=size, tags={"finding": "mass"}, **more)


def code(*lesions: Lesion, findings: tuple[Finding, ...] = (LOW,), known: tuple[str, ...] = (), **more: bool) -> str:
    told = find_advice(RULES, PACK, findings, lesions, known, **{"complete": True, **more})
    return told.code.removeprefix("follow_up.") if told is not None else ""


def test_each_row_holds_for_what_it_says() -> None:
    assert code() == "nothing"
    assert code(mass(9.9)) == "small"
    assert code(mass(10.0)) == "large"
    assert code(mass(9.9, chances={"malignant": 0.3})) == "suspicious"
    assert code(mass(9.9, chances={"malignant": 0.29})) == "small"


def test_the_patients_background_raises_the_advice_and_is_named_in_it() -> None:
    assert code(known=("virus",)) == "surveillance"
    assert code(mass(9.9), known=("virus",)) == "small_virus"
    assert code(mass(10.0), known=("virus",)) == "large", "no row asks for it here"
    raised = find_advice(RULES, PACK, [LOW], [mass(9.9)], ["virus"], complete=True)
    plain = find_advice(RULES, PACK, [LOW], [mass(10.0)], ["virus"], complete=True)
    assert raised is not None
    assert plain is not None
    assert raised.background == {"virus": {"en": "a virus", "zh_CN": "（a virus）"}}
    assert "because of: a virus" in raised.text("en")
    assert (plain.background, "because" in plain.text("en")) == ({}, False)


def test_a_fact_that_more_is_known_never_lowers_the_advice() -> None:
    order = ["", *(one.code for one in RULES.rows)]
    features = Feature("shape", "irregular", 0.9)
    for lesions in ((), (mass(9.0),), (mass(12.0, features=(features,)),), (mass(chances={"malignant": 0.9}),)):
        for findings in ((LOW,), (HIGH,)):
            for few, more in combinations([(), ("virus",), ("family",), ("virus", "family")], 2):
                if set(few) <= set(more):
                    before, after = (code(*lesions, findings=findings, known=known) for known in (few, more))
                    assert order.index(after) >= order.index(before)


def test_nothing_is_said_for_nothing_unless_every_image_was_read() -> None:
    assert code(complete=False) == ""
    assert code(known=("virus",), complete=False) == ""
    assert code(mass(12.0), complete=False) == "large", "what was seen stays seen"
    assert code(findings=(HIGH,)) == "", "a positive finding is not nothing"


def test_a_lesion_of_unknown_size_is_in_no_range() -> None:
    assert code(mass()) == ""
    assert code(mass(), mass(12.0)) == "large"


def test_the_largest_section_counts_and_not_the_median() -> None:
    seen = LesionSightings((("i-1", 0), ("i-1", 1)), 2, {"long_axis_mm": (6.0, 14.0)})
    assert code(mass(9.0, seen=seen)) == "large"


def test_features_and_positive_findings_can_be_asked_for() -> None:
    irregular, oval = (mass(12.0, features=(Feature("shape", term, 0.9),)) for term in ("irregular", "oval"))
    assert code(irregular, known=("family",)) == "irregular"
    assert code(oval, known=("family",)) == code(mass(12.0), known=("family",)) == "large"
    assert code(oval, known=("family",), findings=(HIGH,)) == "positive"


def test_a_pack_without_rules_gives_no_advice() -> None:
    assert find_advice(None, PACK, [HIGH], [mass(30.0)], ["virus"], complete=True) is None
    assert case_to_json(CASE, "en")["follow_up"] is None


@pytest.mark.parametrize("language", ["en", "zh_CN"])
def test_the_advice_names_its_rule_and_source_in_the_cases_json(language: str) -> None:
    advice = find_advice(RULES, PACK, [LOW], [mass(9.9)], ["virus"], complete=True)
    made = json.loads(json.dumps(case_to_json(replace(CASE, follow_up=advice), language)))
    jsonschema.validate(made, SCHEMA, jsonschema.Draft202012Validator)
    told = made["follow_up"]
    assert (told["code"], told["pack"], told["version"]) == ("follow_up.small_virus", "toy", "1.0.0")
    assert told["source"] == "Guideline of a Society, 2020;1:2"
    rule = words("Rule small_virus")["en" if language == "en" else "zh"]
    assert told["rule"] == rule
    assert all(part in told["text"] for part in (rule, told["source"], told["advice"]))
    assert told["background"] == ["virus"]


def test_coded_diagnoses_of_a_header_state_a_fact() -> None:
    assert RULES.find_facts(("I10:B18.0", "SCT:1")) == ("virus",)
    assert RULES.find_facts(("I10:B18.2",)) == ()


@pytest.mark.parametrize(
    "wrong",
    [
        row("plain"),
        row("sized", long_axis_mm={"below": 10.0}),
        row("both", nothing=True, finding="mass"),
        row("unknown", nothing=True, background=["hepatitis"]),
        row("empty", finding="mass", long_axis_mm={}),
        row("crossed", finding="mass", long_axis_mm={"at_least": 10.0, "below": 10.0}),
        row("small", nothing=True),
        {**row("uncited", nothing=True), "source": ""},
    ],
    ids=lambda one: str(one["code"]),
)
def test_a_table_that_cannot_be_meant_is_refused(wrong: dict[str, Any]) -> None:
    table = RULES.model_dump(exclude_unset=True)
    with pytest.raises(ValidationError):
        FollowUpRules.model_validate({**table, "rows": [*table["rows"], wrong]})


def test_the_text_falls_back_to_english() -> None:
    one = FollowUp("follow_up.a", {"en": "Do this."}, {"en": "Rule A"}, "Source, 2020", "toy", "1.0.0")
    assert "Do this." in one.text("zh_CN")


def test_the_table_on_the_page_about_own_models_is_one() -> None:
    page = (Path(__file__).parents[3] / "docs" / "your-own-model.md").read_text("utf-8")
    (block,) = (one for one in re.findall(r"```toml\n(.*?)```", page, re.DOTALL) if "[[follow_up.rows]]" in one)
    rules = FollowUpRules.model_validate(tomllib.loads(block)["follow_up"])
    told = find_advice(rules, PACK, [], [mass(9.0)], rules.find_facts(("I10:B18.1",)), complete=True)
    assert told is not None
    assert told.code == "follow_up.short_interval"
    assert find_advice(rules, PACK, [], [mass(9.0)], (), complete=True) is None


def test_a_packs_words_carry_its_rules(tmp_path: Path) -> None:
    path = CONVERTERS / "recipes" / "chest-xray-child.words.toml"
    plain, (finding,) = path.read_text("utf-8"), load_words(path).named
    words = 'advice = { en = "See a doctor." }\nrule = { en = "Rule A" }\nsource = "Guideline, 2020;1:2"\n'
    row = f'\n[[follow_up.rows]]\ncode = "seen"\npositive = ["{finding.code}"]\n{words}'
    (tmp_path / "with.words.toml").write_text(plain + row, "utf-8")
    rules = load_words(tmp_path / "with.words.toml").follow_up
    assert rules is not None
    assert rules.findings() == {finding.code}
    (tmp_path / "wrong.words.toml").write_text(plain + row.replace("positive", "positiv"), "utf-8")
    with pytest.raises(RecipeInvalid, match="positiv"):
        load_words(tmp_path / "wrong.words.toml")
