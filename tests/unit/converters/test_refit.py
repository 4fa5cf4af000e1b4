"""What a finished pack takes for a film of its kind is set anew: no weight changes, and other films are noticed."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile, copytree
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from converters import cli
from converters.data import frozen_test_log
from converters.packing import card, typicality_model
from converters.report import weak_section
from converters.report.catalogue import say
from converters.shipped_packs.refit import Refit
from converters.synthetic_images import acquisition_shift
from firmware_app.imaging.model_input import to_model_input
from firmware_app.packs import pack_folder
from firmware_app.packs.evidence import CropChange, Measurement
from firmware_app.packs.manifest import MANIFEST_FILE, Manifest, file_sha256
from firmware_app.packs.pack_folder import Pack
from firmware_app.packs.runtimes import registry
from firmware_app.packs.typicality import FamiliarityCheck
from tests import films, toy_pack

pytestmark = pytest.mark.usefixtures("few_resamples")

COUNT = 120
WIDER = 1.25
RECIPE = """
pack = "toy-adult"
version = "0.0.2"
seed = 3
describe = "toy.words.toml"
data = { reader = "folder", positive = "bright", folds = 2, test = 0.25 }
input = { name = "image", size = 64 }
net = { student = "plain-small" }
train = {}
typicality = { other_clinics = true }
"""


def picture(number: int) -> NDArray[np.uint8]:
    return (films.shapes(number, 96, 80) // 16).astype(np.uint8)


@dataclass(frozen=True)
class Place:
    """Films, their recipe, a pack as it left the chain, and the same pack with its limits set anew."""

    data: Path
    recipe: Path
    old: Path
    made: Path

    def ask(self, pack: Path, recipe: Path, out: Path, data: Path | None = None) -> int:
        words = ["--recipe", str(recipe), "--data", str(data or self.data), "--out", str(out)]
        return cli.main(["familiar", str(pack), *words])

    def changed(self, folder: Path, was: str, now: str) -> Path:
        """The recipe with one change, and beside it the list of its test films."""
        path = folder / self.recipe.name
        path.write_text(RECIPE.replace(was, now), encoding="utf-8")
        copyfile(self.recipe.with_name("toy-adult.test.txt"), folder / "toy-adult.test.txt")
        return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    home = tmp_path_factory.mktemp("refit")
    for number in range(COUNT):
        folder = home / "data" / ("bright" if number % 2 else "plain")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number)).save(folder / f"film{number}.png")
    (home / "toy-adult.toml").write_text(RECIPE, encoding="utf-8")
    made = Place(home / "data", home / "toy-adult.toml", as_it_was(home), home / "out" / "toy-adult")
    assert made.ask(made.old, made.recipe, home / "out") == 0
    return made


def as_it_was(home: Path) -> Path:
    """A pack as it left the chain: its limit is that of its films as they are, :data:`WIDER` for unseen ones."""
    folder = toy_pack.write(home / "old", "toy-adult", "adult", 18, None)
    toy_pack.add_typicality(folder, [picture(number) for number in range(COUNT)], 1.0)
    manifest = json.loads((folder / MANIFEST_FILE).read_text())
    opened = Refit.open(folder, home / "toy-adult.toml", home / "data")
    names = opened.dataset.division.shipped.train
    manifest["typicality"]["films"] = len(names)
    manifest["made_by"] = {"train": "a" * 64, "typicality": "a" * 64}
    row = {
        "runtime": "onnxruntime",
        "precision": "fp32",
        "split": "test",
        "n": 30,
        "positives": 15,
        "auc": 0.5,
        "auc_ci": [0.4, 0.6],
        "threshold": 0.5,
        "sensitivity": 0.5,
        "sensitivity_ci": [0.4, 0.6],
        "specificity": 0.5,
        "specificity_ci": [0.4, 0.6],
        "command": "none",
        "passed": 0.0,
        "passed_ci": [0.0, 0.1],
    }
    manifest["measured"] = [row, {**row, "split": "out-of-fold", "passed": None, "passed_ci": None}]
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))
    opened = Refit.open(folder, home / "toy-adult.toml", home / "data")
    groups = [opened.dataset.group_of[film.name] for film in opened.films.films]
    model, limits = typicality_model.judge(opened.plain, groups, 3, WIDER)
    path = model.save(folder / manifest["typicality"]["path"])
    manifest["typicality"] |= {
        "limits": [limit.model_dump(mode="json") for limit in limits],
        "sha256": file_sha256(path),
    }
    manifest["typicality"]["bytes"] = path.stat().st_size
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))
    page = f"<title>a</title><h1>a</h1>{say('written', version='0.0.1', day='2026-01-02')}{weak_section.section(())}"
    (folder / weak_section.NAME).write_text(page, encoding="utf-8")
    pack_folder.write_sums(folder)
    return folder


def test_films_framed_by_another_clinics_machine_get_a_number_then_and_films_of_another_kind_none(place: Place) -> None:
    def refused(folder: Path, greys: list[acquisition_shift.Grey]) -> float:
        known = FamiliarityCheck.load(held := Pack.load(folder), "onnxruntime", "fp32")
        assert known is not None
        session = registry.get_runtime("onnxruntime").load(held.artefact("onnxruntime", "fp32"))
        spec = held.manifest.input
        features = [session.infer({"image": to_model_input(grey, spec)})["features"].reshape(-1) for grey in greys]
        return float(np.mean([known.model.distance(feature) > known.limit for feature in features]))

    fresh = [acquisition_shift.unit(picture(number).astype(np.float32)) for number in range(1000, 1060)]
    framed = [acquisition_shift.frame(film, [0.02] * 4, acquisition_shift.BLACK) for film in fresh]
    strange = [1.0 - film for film in fresh]
    assert refused(place.old, framed) > 0.5
    assert refused(place.made, framed) < 0.2
    assert refused(place.made, fresh) < 0.2
    assert refused(place.made, strange) == 1.0


def test_a_pack_with_its_factor_noted_is_made_again_the_same_where_it_stands(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "out" / "toy-adult"
    copytree(place.made, folder)
    first = Manifest.load(folder)
    assert place.ask(folder, place.changed(tmp_path, "0.0.2", "0.0.3"), tmp_path / "out") == 0
    again = Manifest.load(folder)
    assert again.version == "0.0.3"
    assert first.typicality is not None
    assert again.typicality is not None
    assert again.typicality.limits == first.typicality.limits
    assert again.typicality.unseen == first.typicality.unseen
    assert sorted(path.name for path in folder.parent.iterdir()) == ["toy-adult"]


def test_another_crop_is_taken_measured_anew_and_confessed(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, framed = copytree(place.data, tmp_path / "data"), 0
    test = set(place.recipe.with_name("toy-adult.test.txt").read_text().splitlines())
    held = [path for path in sorted(data.rglob("*.png")) if path.relative_to(data).as_posix() in test]
    for path in held[:10]:
        Image.fromarray(np.pad(picture(int(path.stem[4:])), 3)).save(path)
    for path in [path for path in sorted(data.rglob("*.png")) if path not in held][:3]:
        Image.fromarray(np.pad(picture(int(path.stem[4:])), 3)).save(path)
        framed += 1
    recipe = place.changed(tmp_path, "size = 64", 'size = 64, crop = "frame"')
    old = copytree(place.made, tmp_path / "old" / "toy-adult")
    manifest = json.loads((old / MANIFEST_FILE).read_text()) | {
        "test_part": {"films": 30, "sha256": "0" * 64, "looks": 1}
    }
    manifest["version"] = "0.0.1"
    (old / MANIFEST_FILE).write_text(json.dumps(manifest))
    frozen_test_log.record_look(Manifest.load(old), "2026-01-02", tmp_path)
    assert place.ask(old, recipe, tmp_path / "out", data) == 0
    folder = tmp_path / "out" / "toy-adult"
    made = Manifest.load(folder)
    assert (made.input.crop, made.recut) == ("frame", CropChange(was="whole", films=COUNT - len(held), other=framed))
    counted, other = made.measured
    assert (counted.n, other) == (len(held), told_row(manifest, 1))
    assert counted.auc != told_row(manifest, 0).auc
    command = ["evaluate", str(folder), "--data", str(data), "--split", "test", "--recipe", str(recipe)]
    capsys.readouterr()
    assert cli.main([*command, "--runtime", "onnxruntime", "--precision", "fp32", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert [row[name] for name in ("auc", "sensitivity", "specificity", "ece", "brier", "passed")] == [
        counted.auc,
        counted.sensitivity,
        counted.specificity,
        counted.ece,
        counted.brier,
        counted.passed,
    ]
    assert made.test_part is not None
    assert made.test_part.looks == 2 == len((tmp_path / "toy-adult.looks.txt").read_text().splitlines()) - 1
    said = f"from `whole` to `frame` when the network had been trained.*{framed} of the {COUNT - len(held)} films"
    for name in (card.NAME, weak_section.NAME):
        assert re.search(said, (folder / name).read_text().replace("<code>", "`"))
    back = place.changed(tmp_path, "0.0.2", "0.0.3")
    assert place.ask(folder, back, tmp_path / "out", data) == 0
    assert (Manifest.load(folder).input.crop, Manifest.load(folder).recut) == ("whole", None)


def told_row(manifest: dict[str, Any], at: int) -> Measurement:
    return Measurement.model_validate(manifest["measured"][at])
