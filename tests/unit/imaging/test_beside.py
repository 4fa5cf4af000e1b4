"""What lies beside the anatomy is told from what only looks dark or even, and weighed with the evidence drawn on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from firmware_app.core.child_messages import ChildMessage
from firmware_app.core.records import Finding
from firmware_app.imaging import image_file, image_limits, model_frames, outside_anatomy, ultrasound_sector
from firmware_app.imaging.model_input import InputSpec
from firmware_app.reading import hints
from firmware_app.reading.children.inference_child import LoadedModels
from tests import drawn_marks, films, screens, toy_pack

Pixels = np.ndarray[Any, Any]
SIDE = image_limits.OUTSIDE_CELLS
WHOLE = (0, 0, 300, 400)


def body(rows: int = 400, columns: int = 300, seed: int = 3) -> Pixels:
    """A film without any border, 400 to 3400."""
    return films.shapes(seed, rows, columns, 3000).astype(np.float32) + 400


def add_border(ground: float, left: int = 30, right: int = 20, top: int = 40, bottom: int = 10) -> Pixels:
    made = body()
    made[:top], made[400 - bottom :], made[:, :left], made[:, 300 - right :] = ground, ground, ground, ground
    return made


# --- films ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ground", [0.0, 300.0, 6000.0], ids=["black", "dark", "white"])
def test_even_borders_are_found_to_the_pixel(ground: float) -> None:
    assert outside_anatomy.find_exposed_box(add_border(ground)) == (30, 40, 280, 390)
    noisy = add_border(ground) + np.random.default_rng(0).normal(0, 20, (400, 300))
    assert outside_anatomy.find_exposed_box(noisy.astype(np.float32)) == (30, 40, 280, 390)


def test_dark_air_beside_a_body_is_no_border_where_the_body_reaches_the_edge() -> None:
    made = body()
    made[:250, :60] = made[:250, 240:] = 400  # air above the arms, as dark as the lungs
    assert outside_anatomy.find_exposed_box(made) == WHOLE


def test_padding_lies_beside_and_sets_no_scale() -> None:
    made, hidden = body(), np.zeros((400, 300), np.bool_)
    hidden[200:, :100] = True
    made[hidden] = -32768
    cells = outside_anatomy.cells_of_radiograph(made, hidden)
    assert cells is not None
    assert cells[SIDE // 2 :, : SIDE // 3].min() == 255
    assert cells[: SIDE // 2 - 1].max() == cells[:, SIDE // 3 + 1 :].max() == 0
    framed, within = add_border(0.0), np.zeros((400, 300), np.bool_)
    within[180:220, 140:160] = True
    framed[within] = -32768
    assert outside_anatomy.find_exposed_box(framed, within) == (30, 40, 280, 390)


def test_the_cells_say_how_much_of_them_lies_beside() -> None:
    cells = outside_anatomy.cells_of_radiograph(add_border(0.0, 30, 0, 0, 0))
    assert cells is not None
    assert cells.shape == (SIDE, SIDE)
    assert cells.mean() / 255 == pytest.approx(0.1, abs=0.002)
    assert (cells[:, :6].min(), cells[:, 7:].max()) == (255, 0)


# --- ultrasound -------------------------------------------------------------------------------------------------------


def test_what_surrounds_a_sector_lies_beside_it() -> None:
    drawn = screens.draw_screen("curved", 3)
    area = ultrasound_sector.detect_sector(drawn.pixels.astype(np.float32))
    assert area is not None
    cells = outside_anatomy.cells_of_sector(area)
    assert cells is not None
    assert cells.mean() / 255 == pytest.approx(1 - drawn.truth.mean(), abs=0.02)


# --- evidence ---------------------------------------------------------------------------------------------------------


def test_evidence_is_weighed_where_it_is_drawn() -> None:
    cells = np.zeros((SIDE, SIDE), np.uint8)
    cells[:, : SIDE // 2] = 255
    for column, share in ((0, 1.0), (7, 0.0), (3, 0.875), (4, 0.125)):
        strengths = np.zeros((8, 8), np.float32)
        strengths[3, column] = 0.4
        assert outside_anatomy.outside_share(strengths, cells) == pytest.approx(share, abs=0.01)
    assert outside_anatomy.outside_share(np.ones((8, 8), np.float32), cells) == pytest.approx(0.5, abs=0.01)
    assert outside_anatomy.outside_share(np.zeros((8, 8), np.float32), cells) == 0.0


def test_only_a_positive_finding_gives_the_hint_and_only_from_the_limit_on() -> None:
    def said(probability: float, share: float) -> list[str]:
        finding = Finding("f", {"en": "F"}, probability, 0.5)
        return [hint.text("en").split(" of ")[0] for hint in hints.list_outside_hints([finding], {"f": share})]

    assert said(0.9, image_limits.OUTSIDE_HINT_SHARE) == ["30 per cent"]
    assert said(0.9, image_limits.OUTSIDE_HINT_SHARE - 0.001) == []
    assert said(0.4, 1.0) == []
    assert hints.list_outside_hints([Finding("f", {"en": "F"}, 0.9, 0.5)], {}) == ()


def test_evidence_that_goes_with_the_marks_is_not_of_tissue() -> None:
    evidence = np.zeros((8, 8), np.float32)
    evidence[2, 2], evidence[5, 5] = 0.6, 0.2
    without = evidence.copy()
    without[2, 2] = 0.0
    assert outside_anatomy.outside_share(evidence, None, without) == pytest.approx(0.75)
    assert outside_anatomy.outside_share(evidence, None, evidence) == 0.0
    assert outside_anatomy.outside_share(evidence, None, np.ones_like(evidence)) == 0.0
    everywhere = np.full((SIDE, SIDE), 255, np.uint8)
    assert outside_anatomy.outside_share(evidence, everywhere, without) == pytest.approx(1.0)


def test_the_same_frame_without_its_marks_is_asked_about_too(tmp_path: Path) -> None:
    models = LoadedModels()
    pack = toy_pack.write(tmp_path, "toy", "any", None, None)
    way = {"runtime": "onnxruntime", "precision": "fp32", "settings": {"threads": 1}}
    list(models.handle_job(ChildMessage({"job": "load", "folder": str(pack), **way})))
    frames = np.stack([np.full((1, toy_pack.SIDE, toy_pack.SIDE), grey, np.float32) for grey in (0.2, 0.8)])
    shown = {"rows": 64, "columns": 64, "instance": "i", "frames": [0, 1], "display": str(tmp_path / "shown")}
    job = {"job": "infer", "pack": "toy", "box": None, **shown}
    unmarked = frames * np.float32(0.25)
    (answer,) = models.handle_job(ChildMessage(job, {"input": frames.data, "unmarked": unmarked.data}))
    assert answer.header["beside"]["bright"] == pytest.approx(0.75, abs=1e-5)
    (answer,) = models.handle_job(ChildMessage(job, {"input": frames.data, "unmarked": frames.data}))
    assert answer.header["beside"] == {"bright": 0.0}


# --- what a model is given --------------------------------------------------------------------------------------------


def prepare_input(folder: Path, pixels: Pixels, modality: str, crop: Any = "whole") -> model_frames.ModelFrames:
    path = folder / "picture.png"
    Image.fromarray(pixels).save(path)
    with image_file.open_image_file(path, is_picture=True) as opened:
        return model_frames.prepare_frames(opened, InputSpec("image", 64, 64, crop=crop), modality=modality)


def test_a_film_is_looked_at_for_borders_and_ultrasound_for_its_sector(tmp_path: Path) -> None:
    edged = (add_border(0.0) / 16).astype(np.uint8)
    of_film, cells = (
        prepare_input(tmp_path, edged, "CR").beside,
        outside_anatomy.cells_of_radiograph(edged.astype(np.float32)),
    )
    assert of_film is not None
    assert cells is not None
    assert np.array_equal(of_film[0], cells)
    drawn = screens.draw_screen("curved", 3).pixels
    area = ultrasound_sector.detect_sector(drawn.astype(np.float32))
    assert area is not None
    for crop, box in (("whole", None), ("sector", area.box)):
        of_screen, cells = prepare_input(tmp_path, drawn, "US", crop).beside, outside_anatomy.cells_of_sector(area, box)
        assert of_screen is not None
        assert cells is not None
        assert np.array_equal(of_screen[0], cells)


def test_marks_are_painted_over_in_ultrasound_alone(tmp_path: Path) -> None:
    clean = drawn_marks.draw_tissue(3).astype(np.uint8)
    drawn = drawn_marks.draw_marks(clean.astype(np.float32), "callipers", 0)
    written: Pixels = drawn.pixels.astype(np.uint8)
    read = prepare_input(tmp_path, written, "US")
    assert read.unmarked is not None
    cells = drawn.drawn.reshape(8, 75, 8, 100).any(axis=(1, 3))
    changed = (read.tensors != read.unmarked)[0, 0].reshape(8, 8, 8, 8).any(axis=(1, 3))
    assert (changed == cells).mean() > 0.9
    assert prepare_input(tmp_path, clean, "US").unmarked is None
    assert prepare_input(tmp_path, written, "CR").unmarked is None
