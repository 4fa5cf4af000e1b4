"""What does not hold is refused with why, and a full disk leaves nothing half-written."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from converters import cli
from converters.failures import GateFailed, OutputUnwritable
from converters.recipe_tables import Gate
from firmware_app.packs.pack_folder import Pack
from tests.converters.conftest import PLAIN, write_recipe
from tests.small_disk import unmount


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of two megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], check=False)
    if made.returncode:
        pytest.skip("a small disk needs the right to mount one")
    yield disk
    unmount(disk)


@pytest.fixture(scope="module")
def exported(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small recipe of two folds, done as far as its float files, with the gates of a real one.

    But not that of speed; and two pairs of its few films may change places, which is an AUC of 0.0185.
    """
    folder = tmp_path_factory.mktemp("exported")
    export = {"runtimes": ["onnxruntime", "openvino"], "precisions": ["fp32", "int8"]}
    # One network, trained for longer than the toy of the other tests: it can be held to the gates as they stand.
    gate = Gate(auc_loss=0.02, speed_at_least=0.0).model_dump()
    recipe = write_recipe(folder, **{**PLAIN, "export": export, "gate": gate, "train": {"epochs": 40}})
    for step in ("train", "calibrate", "export"):
        assert cli.main([step, str(recipe), "--data", str(films), "--out", str(folder / "out")]) == 0
    return folder


def go_on(exported: Path, films: Path, folder: Path, *steps: str) -> None:
    """Do ``steps`` of the recipe in a copy of what is ``exported`` (the first call makes it)."""
    if not folder.exists():
        shutil.copytree(exported, folder)
    for step in steps:
        command = [step, str(folder / "toy-disc.toml"), "--data", str(films), "--out", str(folder / "out")]
        assert cli.main(command) == 0, step


def test_an_int8_file_that_loses_too_much_on_the_folds_is_refused_and_listed(
    exported: Path, films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from converters.quantizing import quantize_step

    # Ranges that were set on black films cut off whatever a film shows.
    monkeypatch.setattr(quantize_step, "calibration_films", lambda *_: np.zeros((4, 1, 64, 64), dtype=np.float32))
    folder = tmp_path / "black"
    go_on(exported, films, folder, "quantize", "maps", "typicality", "speed", "gate", "pack")
    pack = Pack.load(folder / "out" / "toy-disc")
    assert {artefact.precision for artefact in pack.manifest.artefacts} == {"fp32"}
    refused = {(one.runtime, one.precision): one.why for one in pack.manifest.refused}
    assert set(refused) == {("onnxruntime", "int8"), ("openvino", "int8")}
    assert all("logits move by" in why for why in refused.values())
    assert "logits move by" in (pack.folder / "CARD.md").read_text()
    assert not list((folder / "out" / "work" / "toy-disc").glob("**/*.int8.*"))


def shift(path: Path, by: float) -> None:
    """Add ``by`` to every cell of the map that an ONNX file gives: its order, and so its rank correlation, stays."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(str(path))
    for node in model.graph.node:
        node.output[:] = ["map_before" if name == "map" else name for name in node.output]
        node.input[:] = ["map_before" if name == "map" else name for name in node.input]
    model.graph.initializer.append(numpy_helper.from_array(np.array(by, dtype=np.float32), "by"))
    model.graph.node.append(helper.make_node("Add", ["map_before", "by"], ["map"]))
    onnx.save(model, str(path))


def test_a_file_whose_golden_answers_lie_too_far_leaves_the_pack_and_the_report_says_why(
    exported: Path, films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from converters.golden_cases import cases, gate
    from converters.packing import pack
    from converters.recipe import load_recipe
    from converters.training import steps

    folder = tmp_path / "golden"
    go_on(exported, films, folder, "quantize", "maps", "typicality", "speed", "gate", "report")
    work, genuine, seen = folder / "out" / "work" / "toy-disc", gate.judge, []

    def judged(made: Pack, original: gate.Original) -> gate.GoldenResults:
        """The INT8 file is damaged between the drawing of the golden cases and their judgement."""
        shift(made.folder / "model.int8.onnx", 4.0)
        seen.append(genuine(made, original))
        return seen[-1]

    monkeypatch.setattr(gate, "judge", judged)
    assert "expected probability" not in (work / "report.html").read_text(encoding="utf-8")
    go_on(exported, films, folder, "pack")
    made = Pack.load(folder / "out" / "toy-disc")
    assert seen[0].seen["model.int8.onnx"].probability > cases.CEILING["int8"]
    assert not (made.folder / "model.int8.onnx").exists()
    assert "expected probability" in next(one.why for one in made.manifest.refused if one.runtime == "onnxruntime")
    kept = {(artefact.runtime, artefact.precision) for artefact in made.manifest.artefacts}
    assert ("onnxruntime", "int8") not in kept
    assert ("onnxruntime", "fp32") in kept
    others = {(one.runtime, one.precision): one.why for one in made.manifest.refused if one.runtime != "onnxruntime"}
    assert kept | set(others) >= {("openvino", "int8")}
    assert all("expected probability" in why for why in others.values())
    assert {(gate.runtime, gate.precision) for gate in made.manifest.gates} <= kept
    for report in (made.folder / "report.html", work / "report.html"):
        told = report.read_text(encoding="utf-8")
        refusals = told[told.index("<section class='refusals'>") : told.index("<section class='numbers'>")]
        assert "<b>onnxruntime int8</b>" in refusals
        assert "largest difference from the expected probability" in refusals
        assert "在标准用例上，其概率与应有值相差" in refusals
    before = (folder / "out" / "toy-disc" / "manifest.json").stat().st_mtime_ns
    go_on(exported, films, folder, "report", "pack")
    assert (folder / "out" / "toy-disc" / "manifest.json").stat().st_mtime_ns == before
    run = steps.RecipeRun(load_recipe(folder / "toy-disc.toml"), folder, films, work)
    shift(made.folder / "model.fp32.onnx", 4.0)
    with pytest.raises(GateFailed, match="the float ONNX file itself"):
        gate.drop_refused(made, genuine(made, pack.eager(run)))


def test_a_model_below_the_recipes_floor_ends_the_run_before_any_file_is_made(
    films: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = write_recipe(tmp_path, **PLAIN, data={"folds": 1}, gate={"auc_at_least": 1.0}, train={"epochs": 1})
    command = [str(recipe), "--data", str(films), "--out", str(tmp_path / "out")]
    assert cli.main(["train", *command]) == 0

    import torch

    from converters.training import checkpoint

    path = tmp_path / "out" / "work" / "toy-disc" / "student.fold0.pt"
    saved = checkpoint.load(path)
    checkpoint.save(
        path,
        checkpoint.Checkpoint(
            saved.net,
            saved.plan,
            {name: torch.zeros_like(value) if name.startswith("cam") else value for name, value in saved.state.items()},
        ),
    )
    assert cli.main(["calibrate", *command]) == 1
    assert "is below the recipe's 1.0" in capfd.readouterr().err
    assert not (tmp_path / "out" / "toy-disc").exists()
    assert not (tmp_path / "out" / "work" / "toy-disc" / "calibrate.json").exists()


def test_a_pack_is_whole_or_absent_on_a_full_disk(chain: Path, films: Path, small_disk: Path) -> None:
    from converters.packing.pack import pack_step
    from converters.recipe import load_recipe
    from converters.training.steps import RecipeRun

    work = chain / "out" / "work" / "toy-disc"
    run = RecipeRun(load_recipe(chain / "toy-disc.toml"), chain, films, work)
    before = (work / "pack.json").read_bytes()
    for left_kb in (16, 400):
        ballast = small_disk / "ballast"
        ballast.write_bytes(b"\0" * (2 * 1024 * 1024 - left_kb * 1024))
        with pytest.raises(OutputUnwritable, match="Free some space"):
            pack_step(run, small_disk)
        assert os.listdir(small_disk) == ["ballast"], left_kb
        ballast.unlink()
    assert (work / "pack.json").read_bytes() == before
