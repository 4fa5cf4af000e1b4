"""The map of every file that ships shows what the network it was made from looks at, and what it shows is counted."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters import cli
from converters.recipe import load_recipe
from firmware_app.imaging.model_input import InputSpec
from firmware_app.packs.pack_folder import Pack
from tests.converters.conftest import ONE_FOLD, SIDE, write_recipe

RUNTIMES = {"onnxruntime", "openvino", "litert"}


def results(work: Path, step: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((work / f"{step}.json").read_text())["results"]
    return told


@pytest.mark.parametrize("name", ["plain-small", "lite0-cut"])
def test_grad_cam_before_its_relu_is_the_activation_map_divided_by_its_cells(name: str) -> None:
    import torch

    from converters.explanation import grad_cam
    from converters.nets import build
    from converters.training import fitting

    torch.manual_seed(0)
    net = build(name, findings=3)
    films = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE), dtype=np.uint8)
    wanted = fitting.outputs(net, films, ("map",))["map"][:, 0]
    found = grad_cam.grad_cam(net, films)
    assert found * wanted[0].size == pytest.approx(wanted, rel=1e-3, abs=1e-6)
    assert all(value.requires_grad for value in net.parameters())


def test_every_int8_map_agrees_with_grad_cam_in_all_three_runtimes(chain: Path) -> None:
    work = chain / "out" / "work" / "toy-disc"
    told = results(work, "maps")
    assert told["positives"] * 2 == told["films"] > 20
    int8 = {one["runtime"]: one["every_cell"] for one in told["artefacts"] if one["precision"] == "int8"}
    assert set(int8) == RUNTIMES
    assert all(one["n"] + one["flat"] == told["films"] for one in int8.values())
    pack = Pack.load(chain / "out" / "toy-disc")
    assert {(one.runtime, one.precision) for one in pack.manifest.maps} == {
        (artefact.runtime, artefact.precision) for artefact in pack.manifest.artefacts
    }
    assert all(one.mean >= 0.9 for one in pack.manifest.maps)
    assert all("Grad-CAM" in gate.said for gate in pack.manifest.gates)
    assert pack.manifest.pointing is None
    assert "## The map" in (pack.folder / "CARD.md").read_text()
    handed_on = (pack.folder / "report.html").read_text()
    assert "Selvaraju" in handed_on
    assert "data:image" not in handed_on  # no film of the data set leaves the workshop with a pack


def test_a_file_whose_map_shows_other_places_is_refused_though_its_folds_passed(films: Path, tmp_path: Path) -> None:
    import torch

    from converters.formats import artefacts
    from converters.nets import build

    changes = {**ONE_FOLD, "export": {"runtimes": ["onnxruntime"], "precisions": ["fp32", "int8"]}}
    command = [str(write_recipe(tmp_path, **changes)), "--data", str(films), "--out", str(tmp_path / "out")]
    for step in ("train", "calibrate", "export", "quantize"):
        assert cli.main([step, *command]) == 0
    work = tmp_path / "out" / "work" / "toy-disc"
    torch.manual_seed(9)
    spec = load_recipe(tmp_path / "toy-disc.toml").input
    artefacts.export(build("plain-small"), InputSpec("film", spec.size, spec.size), tmp_path, [artefacts.SOURCE])
    shipped = work / "artefacts" / "fold0" / "model.int8.onnx"
    shipped.write_bytes((tmp_path / "model.fp32.onnx").read_bytes())
    for step in ("maps", "gate"):
        assert cli.main([step, *command]) == 0
    judged = {one["precision"]: one for one in results(work, "gates")["artefacts"]}
    assert judged["fp32"]["outcome"] != "refused"
    assert judged["int8"]["outcome"] == "refused"
    assert "rank correlation of its map with Grad-CAM" in judged["int8"]["why"]
