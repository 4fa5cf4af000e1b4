"""The card tells what is weak before what is good, and hides no refusal."""

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from converters import card, card_notes, cli, sums
from firmware_app.packs.manifest import Manifest
from firmware_app.packs.proof import Measured
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


def test_weak_points_stand_before_every_number(manifest: Manifest) -> None:
    text = card.text(manifest)
    assert text.index("## Weak points") < text.index("## Intended use") < text.index("## Numbers")
    assert "## Gates" not in text
    assert "## Refused" not in text


def test_gates_and_refusals_are_told_with_why(manifest: Manifest) -> None:
    more = {
        "gates": [
            {"runtime": "openvino", "precision": "int8", "outcome": "inconclusive", "said": "AUC changes by -0.0010"},
            {"runtime": "onnxruntime", "precision": "fp32", "outcome": "passed", "said": "AUC changes by +0.0000"},
        ],
        "refused": [{"runtime": "litert", "precision": "int8", "why": "7 lost, allowed 1 lost of so few"}],
        "measured": [{"runtime": "openvino", "precision": "int8", "split": "test", "ece": 0.031, "ece_ci": [0.02, 0.05],
                      "brier": None, "brier_ci": None}],
    }  # fmt: skip
    text = card.text(cast(Manifest, Told(manifest, more)))
    assert text.index("1 of 2 files passed their gates without proof") < text.index("## Not for")
    assert "| openvino | int8 | inconclusive | AUC changes by -0.0010 |" in text
    assert "* litert int8: 7 lost, allowed 1 lost of so few" in text
    assert "| openvino | int8 | test | 0.031 (0.020–0.050) | – | – | – |" in text


def test_a_map_that_agrees_badly_or_points_beside_the_lesion_is_a_weak_point(manifest: Manifest) -> None:
    good = {"runtime": "openvino", "precision": "int8", "n": 50, "mean": 0.99, "median": 0.99, "low": 0.97,
            "least": 0.95, "evidence": 0.97, "evidence_n": 31}  # fmt: skip
    bad = {**good, "runtime": "litert", "evidence": 0.71}
    pointing = {"n": 80, "hits": 30, "share": 0.375, "share_ci": [0.277, 0.484], "chance": 0.094}
    text = card.text(cast(Manifest, Told(manifest, {"maps": [good, bad], "pointing": pointing})))
    weak = text[: text.index("## Not for")]
    assert "The map of litert int8 agrees with that of the original by a rank correlation of only 0.71" in weak
    assert "litert int8 的热力图" in weak
    assert "openvino" not in weak
    assert "on only 30 of 80 positive films" in weak
    assert "| litert | int8 | 50 | 0.990 | 0.990 | 0.970 | 0.950 | 0.710 (31 films) |" in text
    assert "on 30 of 80 positive films with an outline, 0.375 (0.277–0.484)" in text
    flat = {**good, "evidence": None, "evidence_n": 0}
    fine = {**pointing, "hits": 60, "share": 0.75}
    text = card.text(cast(Manifest, Told(manifest, {"maps": [flat], "pointing": fine})))
    assert "rank correlation of only" not in text
    assert "lies in the outlined lesion on only" not in text
    assert "| 0.950 | – |" in text


def unseen(value: str, area: float, runtime: str = "pytorch, teacher") -> Measured:
    return Measured.model_validate({
        "runtime": runtime, "precision": "fp32", "split": f"unseen[view={value}]", "n": 80, "positives": 30,
        "auc": area, "auc_ci": [area - 0.05, area + 0.05], "threshold": 0.5, "sensitivity": None,
        "sensitivity_ci": None, "specificity": None, "specificity_ci": None,
        "command": "lantern-convert run own.toml --data DATA --out OUT",
    })  # fmt: skip


def test_the_source_on_which_a_network_that_never_saw_it_was_worst_is_a_weak_point(manifest: Manifest) -> None:
    rows = (unseen("PA", 0.82), unseen("AP", 0.71))
    text = card.text(manifest.model_copy(update={"measured": rows}))
    weak = text[: text.index("## Not for")]
    assert "without the source `[view=AP]`, its teacher reached an AUC of 0.710 (0.660–0.760)" in weak
    assert "留出来源 `[view=AP]` 后，其教师网络在该来源 80 张影像上的 AUC 为 0.710" in weak
    assert "[view=PA]" not in weak
    assert card_notes.HOW_UNSEEN in text
    assert "| pytorch, teacher | fp32 | unseen[view=AP] | 80 (30) | 0.710 (0.660–0.760) |" in text
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
    told = SimpleNamespace(**{name: getattr(manifest, name) for name in Manifest.model_fields})
    told.route, told.model_dump = route, manifest.model_dump
    assert "of the CHEST, age from 18" in card.text(cast(Manifest, told))


@pytest.mark.parametrize(
    "command",
    [["card", "--words", "converters/recipes/chest-xray-adult.words.toml"], ["golden", "--update-references"]],
)
def test_a_pack_whose_words_or_references_change_keeps_sums_that_hold(tmp_path: Path, command: list[str]) -> None:
    folder = toy_pack.write(tmp_path, "toy", "adult", 18, None)
    assert cli.main(["card", str(folder)]) == 0
    assert not (folder / sums.NAME).exists()  # a pack that was never finished does not look finished
    sums.write(folder)
    before = (folder / sums.NAME).read_bytes()
    (folder / card.NAME).write_text("an older card")
    assert cli.main([command[0], str(folder), *command[1:]]) == 0
    assert (folder / sums.NAME).read_bytes() != before or command[0] == "golden"
    done = subprocess.run(["sha256sum", "--check", "--quiet", sums.NAME], cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout
