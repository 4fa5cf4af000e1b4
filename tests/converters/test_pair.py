"""Two unlike networks go from a recipe to one signed pack that reads a film and marks a place of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.uid import DigitalXRayImageStorageForPresentation

from converters import cli
from converters.data import datasets
from converters.data.preprocessing import prepare
from converters.training import fitting
from converters.training.train import restore
from firmware_app.packs.pack_folder import Pack
from tests import films as dicom
from tests.converters.conftest import ONE_FOLD, read_on_box, write_recipe

MEMBERS = ("plain-small", "plain")


def test_two_networks_become_a_signed_pack_that_marks_a_place_and_says_where_they_disagree(
    films: Path, tmp_path: Path
) -> None:
    recipe = write_recipe(
        tmp_path,
        **ONE_FOLD | {"net": {"student": "pair", "members": list(MEMBERS)}, "train": {"epochs": 16}},
        abstain={"disagreement": 0.25},
        classify={"false_per_image": 0.5},
        export={"runtimes": ["onnxruntime"], "precisions": ["fp32"]},
    )
    assert cli.main(["run", str(recipe), "--data", str(films), "--out", str(tmp_path / "out")]) == 0
    pack = Pack.load(tmp_path / "out" / "toy-disc")
    two = pack.manifest.section.output.members
    assert two.networks == MEMBERS
    assert sum(two.weights) == pytest.approx(1.0)
    assert 0.75 <= two.given < 1.0
    assert "two networks" in (pack.folder / "CARD.md").read_text("utf-8")

    held = datasets.image_folder(films, "disc")
    net = restore(tmp_path / "out" / "work" / "toy-disc" / "student.fold0.pt")
    cells = fitting.outputs(net, prepare(held, pack.manifest.input), ("map",))["map"].mean(axis=(2, 3))
    pooled = cells[:, 0] + net.biases[0]
    assert pooled == pytest.approx(cells[:, 1:] @ np.array(two.weights), abs=1e-3)

    apart = {
        film.path: abs(float(cell[1] - cell[2])) for film, cell in zip(held.films, cells, strict=True) if film.label
    }
    grey = np.asarray(Image.open(min(apart, key=apart.__getitem__)))  # the networks agree on it
    film = dicom.film(
        grey.repeat(4, 0).repeat(4, 1),
        SOPClassUID=DigitalXRayImageStorageForPresentation,
        Modality="DX",
        ViewPosition="AP",
    )
    film.save_as(tmp_path / "film.dcm", enforce_file_format=True)
    (tmp_path / "box").mkdir()
    case = read_on_box(pack.folder, tmp_path / "film.dcm", tmp_path / "box")
    assert case["findings"][0]["positive"]
    assert case["lesions"][0]["tags"] == {"finding": "disc", "source": "activation map"}
