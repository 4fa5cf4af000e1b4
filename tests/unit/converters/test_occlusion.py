"""Covering parts of a film tells what a model looks at, and agrees with a map that tells the truth."""

import base64
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from converters.data import datasets
from converters.explanation import occlusion
from firmware_app.packs.pack_folder import Pack
from firmware_app.packs.runtimes import registry
from tests import toy_pack

SIDE = 56


def film() -> NDArray[np.float32]:
    seen = np.full((1, 1, SIDE, SIDE), 0.2, dtype=np.float32)
    seen[..., 8:16, 36:44] = 1.0
    return seen


def looks_at_the_disc(seen: NDArray[np.float32]) -> float:
    """A model whose only evidence is the bright square."""
    return float(seen[..., 8:16, 36:44].mean() * 5.0)


@pytest.mark.parametrize("method", [occlusion.occlusion, occlusion.lime])
def test_the_cells_that_decide_stand_out(method: object) -> None:
    assert callable(method)
    drawn = method(film(), looks_at_the_disc)
    assert drawn.shape == (14, 14)
    inside = drawn[2:4, 9:11]
    outside = drawn.copy()
    outside[1:5, 8:12] = -np.inf
    assert inside.min() > outside.max() + 0.3


def test_a_map_that_tells_the_truth_agrees_with_occlusion(tmp_path: Path) -> None:
    pack = Pack.load(toy_pack.write(tmp_path / "packs", "toy", "adult", 18, None))
    y, x = np.mgrid[0:64, 0:64]
    for name, grey in (("a", 60 + 3 * y), ("b", 60 + 3 * x)):
        (tmp_path / "films" / name).mkdir(parents=True)
        Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).save(tmp_path / "films" / name / "0.png")
    films = datasets.image_folder(tmp_path / "films", "b").films
    manifest = pack.manifest
    session = registry.get_runtime("onnxruntime").load(pack.artefact("onnxruntime", "fp32"))
    model = occlusion.Model(session, manifest.input, manifest.section.findings[0], manifest.section.output.map)
    agreement = occlusion.compare(model, films, samples=400)
    assert agreement["occlusion"]["films"] == 2
    assert agreement["occlusion"]["median"] > 0.9
    assert agreement["lime"]["median"] > 0.5
    shown = occlusion.example(model, films[0].read())
    assert base64.b64decode(shown["film"]).startswith(b"\x89PNG")
    assert [len(shown[name]) for name in ("map", "occlusion", "lime")] == [8, 14, 14]
