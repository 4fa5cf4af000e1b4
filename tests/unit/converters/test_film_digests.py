"""What a network learnt from is known by its pictures and not only by names, and nothing that judges is taught."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from converters.data import film_digests, recipe_data, splits, unlabelled
from converters.data.datasets import image_folder
from converters.data.recipe_data import RecipeData
from converters.failures import SplitLeaks
from converters.recipe import Recipe
from converters.recipe_tables import Data, Distill, Net, Train
from firmware_app.imaging.model_input import InputSpec

SPEC = InputSpec("film", 64, 64)
RECIPE = Recipe(
    pack="toy",
    version="0.0.1",
    describe="words.toml",
    data=Data(reader="folder", positive="disc", folds=2, test=0.25, unlabelled=("more",)),
    net=Net(student="plain-small", teacher="lite0-cut"),
    train=Train(start="random"),
    distill=Distill(unlabelled_share=0.5),
)


def draw_film(path: Path, seed: int) -> None:
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(coarse.repeat(8, 0).repeat(8, 1)).save(path)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for offset, name in ((100, "clear"), (200, "disc")):
        for index in range(12):
            draw_film(tmp_path / "films" / name / f"{name}{index:02}.png", offset + index)
    return tmp_path / "films"


@pytest.fixture
def own(data: Path, tmp_path: Path) -> RecipeData:
    return recipe_data.open_recipe_data(RECIPE, data, lists=tmp_path)


def test_another_picture_under_the_same_name_is_another_data_set(data: Path) -> None:
    before = film_digests.digest(image_folder(data, "disc").films)
    assert film_digests.digest(image_folder(data, "disc").films) == before
    draw_film(data / "disc" / "disc03.png", 999)
    assert film_digests.digest(image_folder(data, "disc").films) != before


def test_the_test_list_stands_beside_the_recipe_and_that_of_our_own_in_the_repository(
    own: RecipeData, tmp_path: Path
) -> None:
    assert splits.frozen_test("toy", tmp_path) == own.division.test
    assert splits.lists_of(tmp_path) == tmp_path
    assert splits.lists_of(splits.RECIPES) == splits.LISTS


def test_an_unlabelled_copy_of_a_test_film_teaches_nobody(
    own: RecipeData, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index in range(4):
        draw_film(tmp_path / "more" / f"other{index}.png", 300 + index)
    copied = tmp_path / "more" / "copy.png"
    copied.write_bytes((data / own.division.test[0]).read_bytes())
    films = unlabelled.open_unlabelled(RECIPE, data, own, SPEC)
    assert len(films.pixels) == 4
    assert "unlabelled/more/more/copy.png" not in films.words
    assert "1 unlabelled films left out" in capsys.readouterr().err


def test_a_pack_to_begin_from_that_knows_a_judging_film_is_a_leak_that_names_it(
    own: RecipeData, tmp_path: Path
) -> None:
    words = {film.name: film_digests.digest_film(film) for film in own.films.films}
    other = tmp_path / "work" / "other"
    assert film_digests.read_digests(other) is None
    test = own.division.test[0]
    film_digests.record_digests(other, {"elsewhere/renamed.png": words[test], "b": "unknown"})
    known = film_digests.read_digests(other)
    assert known is not None
    with pytest.raises(SplitLeaks, match=r"renamed\.png") as refused:
        film_digests.refuse_known(known, {test: words[test]})
    assert refused.value.pairs == (("elsewhere/renamed.png", test),)
    with pytest.raises(SplitLeaks, match=test):
        film_digests.refuse_known({test: ""}, {test: words[test]})
    film_digests.refuse_known({"b": "unknown"}, {test: words[test]})
