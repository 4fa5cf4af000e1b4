"""The card tells what is weak before what is good, and hides no refusal."""

from pathlib import Path
from typing import Any, cast

import pytest

from converters.packing import card, card_notes
from converters.report import elsewhere_section
from firmware_app.packs.evidence import ExternalValidation, Measurement
from firmware_app.packs.manifest import Manifest
from tests import toy_pack


class ExtendedManifest:
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
    told = manifest.model_copy(update={"measured_elsewhere": (row,), "measured": (make_unseen_row("AP", 0.71),)})
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
    text = card.text(cast(Manifest, ExtendedManifest(manifest, {"maps": [good, bad], "pointing": pointing})))
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
    text = card.text(cast(Manifest, ExtendedManifest(manifest, {"maps": [flat], "pointing": fine})))
    assert "rank correlation of only" not in text
    poor = {**good, "mean": 0.82, "evidence": 0.71}
    text = card.text(cast(Manifest, ExtendedManifest(manifest, {"maps": [poor], "pointing": fine})))
    assert "agrees with that of the original, cell by cell, by a rank correlation of only 0.82" in text
    text = card.text(cast(Manifest, ExtendedManifest(manifest, {"maps": [flat], "pointing": fine})))
    assert "lies in the outlined lesion on only" not in text
    assert "| 0.950 | – |" in text


def make_unseen_row(value: str, area: float, runtime: str = "pytorch, teacher") -> Measurement:
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


def test_the_source_on_which_a_network_that_never_saw_it_was_worst_is_a_weak_point(manifest: Manifest) -> None:
    rows = (make_unseen_row("PA", 0.82), make_unseen_row("AP", 0.71))
    text = card.text(manifest.model_copy(update={"measured": rows}))
    weak = text[text.index("## Weak points") : text.index("## Not for")]
    assert "without the source `[view=AP]`, its teacher reached an AUC of 0.710 (0.660–0.760)" in weak
    assert "留出来源 `[view=AP]` 后，其教师网络在该来源 80 张影像上的 AUC 为 0.710" in weak
    assert "[view=PA]" not in weak
    assert card_notes.HOW_UNSEEN in text
    assert "| pytorch, teacher | fp32 | unseen[view=AP], all | 80 (30) | 0.710 (0.660–0.760) |" in text
    alike = card.text(manifest.model_copy(update={"measured": (make_unseen_row("AP", 0.71, "pytorch"),)}))
    assert "a network like it reached an AUC" in alike
    assert "its teacher" not in alike


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
