"""The map of every file that ships shows what the network it was made from looks at, and what it shows is counted."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from converters import cli
from converters.recipe import load_recipe
from converters.synthetic_images import phantom
from firmware_app.imaging.model_input import InputSpec, to_model_input
from firmware_app.packs.pack_folder import Pack
from tests.converters.conftest import ONE_FOLD, PLAIN, SIDE, write_recipe

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


def test_agreement_counts_flat_maps_and_never_flatters() -> None:
    from converters.explanation import grad_cam

    rng = np.random.default_rng(0)
    wanted = rng.standard_normal((4, 5, 5))
    same = grad_cam.agreement(wanted, np.exp(wanted))
    assert (same.n, same.flat, same.mean, same.least) == (4, 0, 1.0, 1.0)
    dead = wanted.copy()
    dead[0] = 0.5
    assert grad_cam.agreement(wanted, dead).mean == pytest.approx(0.75)
    none = np.zeros((4, 5, 5))
    assert grad_cam.agreement(none, none) == grad_cam.Agreement(0, 4)
    against = -np.abs(wanted)
    assert grad_cam.compared(against, against)["every_cell"]["n"] == 4
    assert grad_cam.compared(against, against)["evidence"] == {
        "n": 0,
        "flat": 4,
        "mean": None,
        "median": None,
        "low": None,
        "least": None,
    }
    turned = grad_cam.compared(wanted, wanted[:, ::-1])
    assert turned["every_cell"]["mean"] < 0.5
    with pytest.raises(ValueError, match="shape"):
        grad_cam.agreement(wanted, wanted[:, :4])


def test_the_strongest_cell_is_looked_for_at_its_middle() -> None:
    from converters.explanation import grad_cam

    cells = np.zeros((4, 4), dtype=np.float32)
    cells[1, 2] = 3.0  # its middle is three and five eighths of the way
    outline = np.zeros((80, 160), dtype=bool)
    outline[30, 100] = True
    assert grad_cam.strongest_inside(cells, outline)
    outline[30, 100], outline[20, 80] = False, True
    assert not grad_cam.strongest_inside(cells, outline)


def test_every_int8_map_agrees_with_grad_cam_in_all_three_runtimes(chain: Path) -> None:
    work = chain / "out" / "work" / "toy-disc"
    told = results(work, "maps")
    assert told["positives"] * 2 == told["films"] > 20
    int8 = {one["runtime"]: one["every_cell"] for one in told["artefacts"] if one["precision"] == "int8"}
    assert set(int8) == RUNTIMES
    assert all(one["n"] + one["flat"] == told["films"] for one in int8.values())
    pack = Pack.load(chain / "out" / "toy-disc")
    assert {(one.runtime, one.precision) for one in pack.manifest.maps} == {
        (one.runtime, one.precision) for one in pack.manifest.artefacts
    }
    assert all(one.mean >= 0.9 for one in pack.manifest.maps)
    assert all("Grad-CAM" in one.said for one in pack.manifest.gates)
    assert pack.manifest.pointing is None
    assert "## The map" in (pack.folder / "CARD.md").read_text()
    handed_on = (pack.folder / "report.html").read_text()
    assert "Selvaraju" in handed_on
    assert "data:image" not in handed_on  # no film of the data set leaves the workshop with a pack


def test_the_compared_films_are_no_test_films_and_the_drawn_one_is_nobody(chain: Path, films: Path) -> None:
    from converters.explanation import grad_cam
    from converters.training.steps import RecipeRun

    work = chain / "out" / "work" / "toy-disc"
    recipe = load_recipe(chain / "toy-disc.toml")
    run = RecipeRun(recipe, chain, films, work)
    names = grad_cam.chosen(run)
    assert len(set(names)) == len(names) == results(work, "maps")["films"]
    assert not set(names) & set(run.dataset.division.test)
    labels = [film.label for film in run.films(names).films]
    assert sum(labels) * 2 == len(labels)
    (shown,) = results(work, "maps")["examples"]
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(shown["film"]))))
    spec = InputSpec("film", SIDE, SIDE)
    drawn = [phantom.film("child", grad_cam.OPACITIES, recipe.seed + index) for index in range(grad_cam.PHANTOMS)]
    seen = [np.rint(to_model_input(one.astype(np.float32), spec)[0, 0] * 255.0) for one in drawn]
    assert any(np.array_equal(picture, one) for one in seen)


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


def test_the_gate_is_not_passed_by_leaving_the_maps_out(
    films: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    changes = {**ONE_FOLD, "export": {"runtimes": ["onnxruntime"], "precisions": ["fp32"]}}
    command = [str(write_recipe(tmp_path, **changes)), "--data", str(films), "--out", str(tmp_path / "out")]
    for step in ("train", "calibrate", "export", "quantize"):
        assert cli.main([step, *command]) == 0
    capfd.readouterr()
    assert cli.main(["gate", *command]) == 1
    assert "“maps” has not been done" in capfd.readouterr().err


def test_where_there_are_outlines_the_strongest_cells_are_counted(
    films: Path, tmp_path: Path, fresh_lists: Path
) -> None:
    from converters.explanation import grad_cam
    from converters.training.steps import RecipeRun

    data = tmp_path / "films"
    for name in ("images", "masks"):
        (data / name).mkdir(parents=True)
    rows = ["file,class"]
    for path in sorted(films.rglob("*.png")):
        (data / "images" / path.name).write_bytes(path.read_bytes())
        rows.append(f"{path.name},{path.parent.name}")
        if path.parent.name == "disc":
            half = np.zeros((SIDE, SIDE), dtype=np.uint8)
            half[:, : SIDE // 2] = 255
            Image.fromarray(half).save(data / "masks" / path.name)
    (data / "labels.csv").write_text("\n".join(rows) + "\n")
    recipe = write_recipe(tmp_path, **PLAIN, data={"reader": "masks"})
    assert cli.main(["train", str(recipe), "--data", str(data), "--out", str(tmp_path / "out")]) == 0
    run = RecipeRun(load_recipe(recipe), tmp_path, data, tmp_path / "out" / "work" / "toy-disc")
    told = grad_cam.pointing(run)
    assert told is not None
    held = [film for film in run.films(run.dataset.division.part("val")).films if film.label]
    assert told["n"] == len(held) > 10
    assert told["chance"] == pytest.approx(0.5)
    assert told["hits"] / told["n"] == pytest.approx(told["share"], abs=1e-3)
    assert 0.0 <= told["share_ci"][0] <= told["share"] <= told["share_ci"][1] <= 1.0
