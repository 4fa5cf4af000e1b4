"""The card tells what is weak before what is good, and hides no refusal."""

import html
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pytest

from converters import cli
from converters.data.predictions import Predictions
from converters.packing import card, card_notes, weak_points
from converters.packing.words import load_words
from converters.report import elsewhere_section, weak_section
from converters.report import page as report
from converters.report.step_results import Accounts
from firmware_app.packs.evidence import ExternalValidation, GoldenCase, Measurement, ReferenceAgreement
from firmware_app.packs.manifest import AbstentionRange, Manifest
from tests import toy_pack


class Told:
    """A manifest with fields that its schema may not have yet."""

    def __init__(self, manifest: Manifest, more: dict[str, Any]) -> None:
        self.manifest, self.more = manifest, more

    def __getattr__(self, name: str) -> Any:
        return getattr(self.manifest, name)

    def model_dump(self, mode: str) -> dict[str, Any]:
        return {**self.manifest.model_dump(mode=mode), **self.more}


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return Manifest.load(toy_pack.write(tmp_path, "toy", "adult", 18, None))


def test_other_places_and_weak_points_stand_before_every_number_of_home(manifest: Manifest) -> None:
    text = card.text(manifest)
    heads = ("## Elsewhere", "## Weak points", "## Intended use", "## Numbers")
    assert sorted(heads, key=text.index) == list(heads)
    assert "## Gates" not in text
    assert "## Refused" not in text


def test_a_card_and_a_report_lead_with_other_places(manifest: Manifest) -> None:
    row = ExternalValidation(
        source="county",
        licence="CC BY 4.0",
        citation="Some A et al., 2020",
        runtime="onnxruntime",
        precision="int8",
        n=40,
        positives=40,
        set_aside=3,
        passed=0.75,
        passed_ci=(0.6, 0.86),
        n_passed=30,
        positives_passed=29,
        scored=38,
        threshold=0.5,
        auc=None,
        auc_ci=None,
        sensitivity=0.5,
        sensitivity_ci=(0.35, 0.65),
        specificity=None,
        specificity_ci=None,
        auc_passed=None,
        auc_passed_ci=None,
        wrong=0.5,
        wrong_ci=(0.35, 0.65),
        wrong_passed=0.4,
        wrong_passed_ci=(0.23, 0.6),
        sensitivity_passed=0.6,
        sensitivity_passed_ci=(0.4, 0.77),
        specificity_passed=None,
        specificity_passed_ci=None,
        refused={"age": 8, "reading.unfamiliar": 2},
        why=dict.fromkeys(("auc", "specificity", "auc_passed"), "no film is without the finding"),
        command="print it",
    )
    told = manifest.model_copy(update={"measured_elsewhere": (row,), "measured": (unseen("AP", 0.71),)})
    text = card.text(told)
    lead = text[: text.index("## Weak points")]
    for said in (
        "| onnxruntime | int8 | county, with a number | 30 (29) | – | 0.600 (0.400–0.770) | – | 0.400 (0.230–0.600) |",
        "| onnxruntime | int8 | county, all | 40 (40) | – | 0.500 (0.350–0.650) | – | 0.500 (0.350–0.650) | – |",
        "| pytorch, teacher | fp32 | unseen[view=AP], all | 80 (30) | 0.710 (0.660–0.760) |",
        "county: no AUC, specificity, AUC (with a number): no film is without the finding.",
        "county：不予判读：age 8, reading.unfamiliar 2。",
        "Some A et al., 2020; CC BY 4.0",
        "county: 3 films set aside",
        "print it",
    ):
        assert said in lead
    assert "unseen[view=AP]" not in text[text.index("## Numbers") :]
    page = elsewhere_section.section(told)
    assert page.index("county, with a number") < page.index("county, all") < page.index("unseen[view=AP]")
    nobody = "Nobody has tried this pack on films of another place"
    assert nobody not in text
    for bare in (card.text(manifest), elsewhere_section.section(manifest)):
        assert bare.count(nobody) == 1


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [("passed", "Passed: the box shows"), ("inconclusive", "Passed without proof: the films are too few")],
)
def test_the_verdict_of_the_networks_own_script_is_told_in_words(
    manifest: Manifest, outcome: Literal["passed", "inconclusive"], verdict: str
) -> None:
    assert "## The network's own script" not in card.text(manifest)
    agreement = ReferenceAgreement(
        script="own:score",
        outcome=outcome,
        n=400,
        auc_home=0.861,
        auc_box=0.8588,
        change=-0.0022,
        change_ci=(-0.0101, 0.0047),
        allowed=0.005,
    )
    text = card.text(manifest.model_copy(update={"reference": agreement}))
    assert f"-0.0022 (95 % interval -0.0101 to +0.0047), where -0.005 is allowed. {verdict}" in text


def test_gates_and_refusals_are_told_with_why(manifest: Manifest) -> None:
    more = {
        "gates": [
            {"runtime": "openvino", "precision": "int8", "outcome": "inconclusive", "said": "AUC changes by -0.0010"},
            {"runtime": "onnxruntime", "precision": "fp32", "outcome": "passed", "said": "AUC changes by +0.0000"},
        ],
        "refused": [{"runtime": "litert", "precision": "int8", "why": "7 lost, allowed 1 lost of so few"}],
        "measured": [
            {
                "runtime": "openvino",
                "precision": "int8",
                "split": "test",
                "ece": 0.031,
                "ece_ci": [0.02, 0.05],
                "brier": None,
                "brier_ci": None,
            }
        ],
    }
    text = card.text(cast(Manifest, Told(manifest, more)))
    assert text.index("1 of 2 files passed their gates without proof") < text.index("## Not for")
    assert "| openvino | int8 | inconclusive | AUC changes by -0.0010 |" in text
    assert "* litert int8: 7 lost, allowed 1 lost of so few" in text
    assert "| openvino | int8 | test | 0.031 (0.020–0.050) | – | – | – |" in text


def test_a_map_that_agrees_badly_or_points_beside_the_lesion_is_a_weak_point(manifest: Manifest) -> None:
    good = {
        "runtime": "openvino",
        "precision": "int8",
        "n": 50,
        "mean": 0.99,
        "median": 0.99,
        "low": 0.97,
        "least": 0.95,
        "evidence": 0.97,
        "evidence_n": 31,
    }
    bad = {**good, "runtime": "litert", "evidence": 0.71}
    pointing = {"n": 80, "hits": 30, "share": 0.375, "share_ci": [0.277, 0.484], "chance": 0.094}
    text = card.text(cast(Manifest, Told(manifest, {"maps": [good, bad], "pointing": pointing})))
    weak = text[: text.index("## Not for")]
    assert "In the map of litert int8 the evidence for the finding alone" in weak
    assert "a rank correlation of only 0.71" in weak
    assert "Over every cell, the measure that is gated, it reached 0.99." in weak
    assert "litert int8 的热力图仅就支持该发现的证据而言" in weak
    assert "openvino" not in weak
    assert "on only 30 of 80 positive films" in weak
    assert "| litert | int8 | 50 | 0.990 | 0.990 | 0.970 | 0.950 | 0.710 (31 films) |" in text
    assert "on 30 of 80 positive films with an outline, 0.375 (0.277–0.484)" in text
    flat = {**good, "evidence": None, "evidence_n": 0}
    fine = {**pointing, "hits": 60, "share": 0.75}
    text = card.text(cast(Manifest, Told(manifest, {"maps": [flat], "pointing": fine})))
    assert "rank correlation of only" not in text
    poor = {**good, "mean": 0.82, "evidence": 0.71}
    text = card.text(cast(Manifest, Told(manifest, {"maps": [poor], "pointing": fine})))
    assert "agrees with that of the original, cell by cell, by a rank correlation of only 0.82" in text
    text = card.text(cast(Manifest, Told(manifest, {"maps": [flat], "pointing": fine})))
    assert "lies in the outlined lesion on only" not in text
    assert "| 0.950 | – |" in text


def unseen(value: str, area: float, runtime: str = "pytorch, teacher") -> Measurement:
    return Measurement.model_validate(
        {
            "runtime": runtime,
            "precision": "fp32",
            "split": f"unseen[view={value}]",
            "n": 80,
            "positives": 30,
            "auc": area,
            "auc_ci": [area - 0.05, area + 0.05],
            "threshold": 0.5,
            "sensitivity": None,
            "sensitivity_ci": None,
            "specificity": None,
            "specificity_ci": None,
            "command": "lantern-convert run own.toml --data DATA --out OUT",
        }
    )


def test_what_withheld_numbers_cost_and_gain_is_told_where_any_are_withheld(manifest: Manifest) -> None:
    told = {
        "passed": 0.4,
        "passed_ci": (0.3, 0.5),
        "wrong": 0.3,
        "wrong_ci": (0.2, 0.4),
        "wrong_passed": 0.2,
        "wrong_passed_ci": (0.1, 0.35),
    }
    row = unseen("PA", 0.82).model_copy(update=told)
    entry = AbstentionRange(
        error=0.1, low=0.25, high=0.75, films=90, given=0.6, given_ci=(0.5, 0.7), wrong=0.1, wrong_ci=(0.0, 0.2)
    )
    text = card.text(manifest.model_copy(update={"measured": (row,), "abstain": entry}))
    assert "Of 90 held-back films 0.600 (0.500–0.700) get one, and of these 0.100 (0.000–0.200) are wrong" in text
    cells = "0.400 (0.300–0.500) | 0.300 (0.200–0.400) | 0.200 (0.100–0.350) |"
    assert f"| pytorch, teacher | fp32 | unseen[view=PA] | 80 | {cells}" in text
    assert "## Films of which it is not sure" not in card.text(manifest.model_copy(update={"measured": (row,)}))


def test_the_source_on_which_a_network_that_never_saw_it_was_worst_is_a_weak_point(manifest: Manifest) -> None:
    rows = (unseen("PA", 0.82), unseen("AP", 0.71))
    text = card.text(manifest.model_copy(update={"measured": rows}))
    weak = text[text.index("## Weak points") : text.index("## Not for")]
    assert "without the source `[view=AP]`, its teacher reached an AUC of 0.710 (0.660–0.760)" in weak
    assert "留出来源 `[view=AP]` 后，其教师网络在该来源 80 张影像上的 AUC 为 0.710" in weak
    assert "[view=PA]" not in weak
    assert card_notes.HOW_UNSEEN in text
    assert "| pytorch, teacher | fp32 | unseen[view=AP], all | 80 (30) | 0.710 (0.660–0.760) |" in text
    alike = card.text(manifest.model_copy(update={"measured": (unseen("AP", 0.71, "pytorch"),)}))
    assert "a network like it reached an AUC" in alike
    assert "its teacher" not in alike


def test_a_card_of_a_recipe_elsewhere_says_where_its_commands_run(manifest: Manifest) -> None:
    row = unseen("AP", 0.71).model_copy(update={"split": "test"})
    away = row.model_copy(update={"command": "lantern-convert evaluate OUT/toy --data DATA --recipe own.toml"})
    for one, said in ((row, card_notes.HOW_PRINTED), (away, card_notes.HOW_PRINTED_ELSEWHERE)):
        text = card.text(manifest.model_copy(update={"measured": (one,)}))
        assert f"{said}\n\n```\n{one.command}\n```" in text


def test_a_pack_without_views_names_none(manifest: Manifest) -> None:
    route = manifest.route.model_copy(update={"views": ()})
    assert "of the CHEST, age from 18" in card.text(manifest.model_copy(update={"route": route}))


def test_a_report_and_its_card_name_the_same_weak_points_after_the_words_have_changed(tmp_path: Path) -> None:
    folder = toy_pack.write(tmp_path, "toy", "adult", 18, None)
    manifest, words = Manifest.load(folder), Path("converters/recipes/chest-xray-child.words.toml")
    films = Predictions(("a", "b"), np.array([0, 1]), ("p", "q"), np.array([-1.0, 1.0]), ({}, {}))
    key = ("onnxruntime", "fp32")
    finding = manifest.section.findings[0]
    subject = report.Subject("toy", "0.0.1", manifest.title, finding, manifest.weak_points, "val", key)
    page = report.write(folder / weak_section.NAME, subject, {key: films}, Accounts())
    numbers = page.read_text("utf-8").partition("<section class='refusals'>")[2]
    assert cli.main(["card", str(folder), "--words", str(words)]) == 0
    card_text, points = page.read_text("utf-8"), weak_points.points(Manifest.load(folder))
    assert card_text.partition("<section class='refusals'>")[2] == numbers
    assert cli.main(["card", str(folder)]) == 0
    assert page.read_text("utf-8") == card_text  # a second time changes nothing
    assert card_text.index("<section class='elsewhere'>") < card_text.index("<section class='weak'>")
    assert weak_section.section(weak_section.listed(points)) in card_text
    assert html.escape(load_words(words).title.en) in card_text
    assert manifest.title.en not in card_text
    shown = (folder / card.NAME).read_text("utf-8")
    assert [point for point in points if f"- {point.en}\n  {point.zh}" not in shown] == []


def test_a_page_that_is_no_report_of_ours_is_not_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = toy_pack.write(tmp_path, "toy", "adult", 18, None)
    (folder / weak_section.NAME).write_text("<p>mine</p>")
    assert cli.main(["card", str(folder)]) == 1
    assert "it is no report that this version can tell anew" in capsys.readouterr().err
    assert (folder / weak_section.NAME).read_text() == "<p>mine</p>"


def row(split: str, sensitivity: float, specificity: float, n: int = 80, positives: int = 30) -> Measurement:
    return Measurement.model_validate(
        {
            "runtime": "onnxruntime",
            "precision": "fp32",
            "split": split,
            "n": n,
            "positives": positives,
            "auc": 0.8,
            "auc_ci": [0.7, 0.9],
            "threshold": 0.5,
            "sensitivity": sensitivity,
            "specificity": specificity,
            "sensitivity_ci": [sensitivity - 0.05, min(1.0, sensitivity + 0.05)],
            "ece": 0.08,
            "ece_ci": [0.09, 0.14],
            "specificity_ci": [specificity - 0.05, min(1.0, specificity + 0.05)],
            "command": "lantern-convert run own.toml",
        }
    )


def test_what_the_numbers_confess_is_on_the_card_too(manifest: Manifest) -> None:
    rows = (row("test", 0.9, 0.6), row("out-of-fold", 1.0, 0.4, 200, 100), row("test[view=AP]", 0.9, 0.5, 40, 20))
    text = card.text(manifest.model_copy(update={"measured": rows}))
    shown = text[: text.index("## Not for")]
    assert "it misses 3 of 30 positive films (sensitivity 0.900 (0.850–0.950) [test])" in shown
    assert (
        "it calls 60 of 100 films without the finding positive (specificity 0.400 (0.350–0.450) [out-of-fold])" in shown
    )
    assert "100 张无该发现的影像中有 60 张被判为阳性" in shown
    assert "Only 30 positive films judge it" in shown
    assert "Weakest group: view AP (40 films)" in shown
    assert "Probabilities are off by 0.080 (0.090–0.140) [test]" in shown
    assert "take its upper end for a bound" in text
    fine = card.text(manifest.model_copy(update={"measured": (row("test", 1.0, 0.5, 900, 400),)}))
    assert "films without the finding positive" not in fine
    assert "positive films judge it" not in fine
    assert "it misses" not in fine


def test_an_answer_without_a_drawn_film_is_told(manifest: Manifest) -> None:
    sample = GoldenCase.model_validate(
        {
            "kind": "sample",
            "path": "golden/sample-negative-1.png",
            "sha256": "0" * 64,
            "tolerance": {"fp32": 0.01},
            "expected": {"fp32": {manifest.section.findings[0].code: 0.0}},
            "distance": {"pixels": 64, "components": 20, "nearest": 1.1, "films": 400},
        }
    )
    text = card.text(manifest.model_copy(update={"golden": (sample,)}))
    assert "There is no positive sample among them" in text
    assert "There is no negative sample among them" not in text
    positive = sample.model_copy(update={"expected": {"fp32": {manifest.section.findings[0].code: 1.0}}})
    assert "There is no" not in card.text(manifest.model_copy(update={"golden": (sample, positive)}))


def test_the_card_tells_the_least_size(manifest: Manifest) -> None:
    assert "fewer than" not in card.text(manifest)
    asks = manifest.model_copy(update={"quality": manifest.quality.model_copy(update={"least_px": 256})})
    assert "shorter side has fewer than 256 pixels where the model reads it gets no number" in card.text(asks)


def test_the_card_tells_that_weights_are_not_for_commercial_use(manifest: Manifest) -> None:
    assert "## Licence of the weights" not in card.text(manifest)
    free, bound = (
        card.text(manifest.model_copy(update={"weights_licence": licence}))
        for licence in ("Apache-2.0", "CC-BY-NC-4.0")
    )
    assert "under Apache-2.0 (`Apache-2.0`)." in free
    assert "commercial" not in free
    assert "under CC BY-NC 4.0 (`CC-BY-NC-4.0`): **not for commercial use**" in bound
    assert "不得用于商业用途" in bound
