"""What does not hold is refused with why, and a full disk leaves nothing half-written."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from converters import cli
from converters.failures import OutputUnwritable
from firmware_app.packs.shelf import Pack
from tests.converters.conftest import PLAIN, write_recipe


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of two megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], check=False)
    if made.returncode:
        pytest.skip("a small disk needs the right to mount one")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_an_int8_file_that_loses_too_much_is_refused_and_listed(films: Path, tmp_path: Path) -> None:
    changes = {
        **PLAIN, "data": {"folds": 1}, "gate": {"auc_loss": 0.0, "sensitivity_loss": 0.0, "most_lost": 0},
        "export": {"runtimes": ["onnxruntime"], "precisions": ["fp32", "int8"]},
    }  # fmt: skip
    recipe = write_recipe(tmp_path, **changes)
    command = [str(recipe), "--data", str(films), "--out", str(tmp_path / "out")]
    for step in ("train", "calibrate", "export"):
        assert cli.main([step, *command]) == 0

    from converters import quantize

    most_moved = quantize.MOST_MOVED
    quantize.MOST_MOVED = -1.0  # no rounded file can be as near as this
    try:
        assert cli.main(["quantize", *command]) == 0
    finally:
        quantize.MOST_MOVED = most_moved
    for step in ("maps", "typicality", "speed", "gate", "pack"):
        assert cli.main([step, *command]) == 0
    pack = Pack.load(tmp_path / "out" / "toy-disc")
    assert {one.precision for one in pack.manifest.artefacts} == {"fp32"}
    assert [(one.runtime, one.precision) for one in pack.manifest.refused] == [("onnxruntime", "int8")]
    assert "logits move by" in pack.manifest.refused[0].why
    assert "logits move by" in (pack.folder / "CARD.md").read_text()
    assert not list((tmp_path / "out" / "work" / "toy-disc").glob("**/*.int8.*"))


def test_a_model_below_the_recipes_floor_ends_the_run_before_any_file_is_made(
    films: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = write_recipe(tmp_path, **PLAIN, data={"folds": 1}, gate={"auc_at_least": 1.0}, train={"epochs": 1})
    command = [str(recipe), "--data", str(films), "--out", str(tmp_path / "out")]
    assert cli.main(["train", *command]) == 0

    import torch

    from converters import checkpoint

    path = tmp_path / "out" / "work" / "toy-disc" / "student.fold0.pt"
    saved = checkpoint.load(path)
    checkpoint.save(path, checkpoint.Checkpoint(saved.net, saved.plan, {
        name: torch.zeros_like(value) if name.startswith("cam") else value for name, value in saved.state.items()
    }))  # fmt: skip
    assert cli.main(["calibrate", *command]) == 1
    assert "is below the recipe's 1.0" in capfd.readouterr().err
    assert not (tmp_path / "out" / "toy-disc").exists()
    assert not (tmp_path / "out" / "work" / "toy-disc" / "calibrate.json").exists()


def test_a_full_disk_is_one_sentence_and_leaves_no_half_written_checkpoint(
    films: Path, small_disk: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = write_recipe(tmp_path, **PLAIN, data={"folds": 1})
    assert cli.main(["train", str(recipe), "--data", str(films), "--out", str(small_disk)]) == 1
    said = capfd.readouterr().err
    assert "cannot be written" in said
    assert "Traceback" not in said
    work = small_disk / "work" / "toy-disc"
    assert [path.name for path in work.iterdir() if path.name != "log.txt"] == []


def test_every_kind_of_model_file_is_whole_or_absent_on_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    from converters import artefacts
    from converters.nets import build
    from firmware_app.imaging.model_input import InputSpec

    net, spec = build("plain-small"), InputSpec("film", 64, 64)
    whole = tmp_path / "whole"
    artefacts.export(net, spec, whole, list(artefacts.NAMES))
    from converters.formats import onnx_file, openvino_ir, tflite_file

    (small_disk / "ballast").write_bytes(b"\0" * (2 * 1024 * 1024 - 96 * 1024))
    source = whole / "model.fp32.onnx"
    writers: dict[str, Callable[[Path], Path]] = {
        "model.fp32.onnx": lambda path: onnx_file.export(net, artefacts.noise(spec), ("film", artefacts.OUTPUTS), path),
        "model.fp16.xml": lambda path: openvino_ir.export(source, path, half=True),
        "model.fp16.tflite": lambda path: tflite_file.halve(whole / "model.fp32.tflite", path),
        "model.fp32.tflite": lambda path: tflite_file.export(
            net, artefacts.noise(spec), ("film", artefacts.OUTPUTS), path
        ),
    }
    for name, write in writers.items():
        with pytest.raises(OutputUnwritable, match="Free some space"):
            write(small_disk / name)
        assert sorted(os.listdir(small_disk)) == ["ballast"], name


def test_a_pack_is_whole_or_absent_on_a_full_disk(chain: Path, films: Path, small_disk: Path) -> None:
    from converters.pack import pack_step
    from converters.recipe import load_recipe
    from converters.steps import Workshop

    work = chain / "out" / "work" / "toy-disc"
    shop = Workshop(load_recipe(chain / "toy-disc.toml"), chain, films, work)
    before = (work / "pack.json").read_bytes()
    for left_kb in (16, 400):
        ballast = small_disk / "ballast"
        ballast.write_bytes(b"\0" * (2 * 1024 * 1024 - left_kb * 1024))
        with pytest.raises(OutputUnwritable, match="Free some space"):
            pack_step(shop, small_disk)
        assert os.listdir(small_disk) == ["ballast"], left_kb
        ballast.unlink()
    assert (work / "pack.json").read_bytes() == before


def test_a_quantized_file_that_fails_plainly_is_mended_layer_by_layer_or_refused(tmp_path: Path) -> None:
    import numpy as np

    from converters import quantize
    from converters.gates import Outcome, Verdict

    class Format:
        """Files are notes of what was spared; only with ``b`` in float is one right."""

        methods = ("minmax",)
        layers = ("a", "b", "c")

        def make(self, folder: Path, method: str, spared: object, *, first: bool = False) -> Path:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "note.json").write_text(json.dumps(list(spared)))  # type: ignore[call-overload]
            return folder

    wanted = np.linspace(-1.0, 1.0, 9)

    def logits(folder: Path) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
        spared = json.loads((folder / "note.json").read_text())
        return wanted + (0.0 if "b" in spared else 0.5) + (0.0 if "a" in spared else 0.01)

    def judge(_logits: object) -> list[Verdict]:
        return [Verdict("auc", Outcome.PASSED, 0.0, 0.0, "")]

    found = quantize.search(Format(), tmp_path, wanted, logits, judge, 2, logits)
    assert found.chosen is not None
    assert found.chosen.spared == ("b",)
    assert next(iter(found.sensitivity)) == "b"
    assert [path.name for path in tmp_path.iterdir()] == [found.chosen.path.name]
    none = quantize.search(Format(), tmp_path / "none", wanted, logits, judge, 0, logits)
    assert none.chosen is None
    assert "logits move by" in none.tried[0].why_not
