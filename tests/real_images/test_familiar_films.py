"""The shipped chest packs, asked about real films they never learnt from: another clinic's machine is no reason."""

import zlib
from collections.abc import Callable
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray

from converters.data import datasets, recipe_data, splits
from converters.recipe import load_recipe
from converters.synthetic_images import acquisition_shift
from firmware_app.imaging.model_input import to_model_input
from firmware_app.packs.pack_folder import Pack, shipped_packs_dir
from firmware_app.packs.runtimes import registry
from firmware_app.packs.tasks import classify
from firmware_app.packs.typicality import FamiliarityCheck
from tests import peers

Grey = NDArray[np.float32]
CHILD, ADULT = "chest-xray-child", "chest-xray-adult"
MOST = 40
BEARABLE = 0.25
"""Of :data:`MOST` films; the goal is 10 % of all of them, which so few cannot show (docs/decisions/unfamiliar.md)."""


def noisy(film: Grey) -> Grey:
    """Noise of the highest strength, different for each film."""
    return acquisition_shift.add_noise(film, acquisition_shift.NOISE, np.random.default_rng(zlib.crc32(film.tobytes())))


MILD: Final[dict[str, Callable[[Grey], Grey]]] = {
    "black border of 2 %": lambda film: acquisition_shift.frame(film, [0.02] * 4, acquisition_shift.BLACK),
    "noise of 1 %": noisy,
    "gamma 1.15": lambda film: acquisition_shift.change_gradient(film, 1.15),
    "JPEG 70": lambda film: acquisition_shift.compress_jpeg(film, 70),
}
"""What another clinic's machine might give of a film, (H, W) from 0 to 1."""


def some_films(pack: str) -> list[Grey]:
    """Some of a pack's frozen test part, always the same ones, spread evenly over it."""
    held_out = splits.frozen_test(pack)
    if pack == CHILD:
        films = datasets.image_folder(peers.find_shared_data("data") / "chest-xray" / "kermany224_train", "PNEUMONIA")
    elif held_out:
        recipe = load_recipe(splits.RECIPES / f"{pack}.toml")
        films = recipe_data.open_reader(recipe, peers.find_shared_data("data") / "chest-xray-siim")
    else:
        pytest.skip(f"the recipe of {pack} was not followed yet: there is no list of its test films")
    held = films.only(tuple(held_out)).films
    order = np.random.default_rng(0).permutation(len(held))[:MOST]
    return [held[int(index)].read() for index in sorted(order)]


def measure_refused_share(name: str, greys: list[Grey]) -> float:
    """The share that the float file's limit refuses."""
    pack = Pack.load(shipped_packs_dir() / name)
    familiar = FamiliarityCheck.load(pack, registry.DEFAULT, "fp32")
    assert familiar is not None
    session = registry.get_runtime(registry.DEFAULT).load(pack.artefact(registry.DEFAULT, "fp32"))
    spec, features = pack.manifest.input, pack.manifest.output.features or ""
    inputs = (to_model_input(np.ascontiguousarray(grey), spec) for grey in greys)
    seen = [session.infer({spec.name: film})[features].reshape(-1) for film in inputs]
    return float(np.mean([familiar.model.distance(one) > familiar.limit for one in seen]))


@pytest.mark.parametrize("how", MILD)
@pytest.mark.parametrize("name", [CHILD, ADULT])
def test_a_good_film_from_another_clinics_machine_gets_a_number(name: str, how: str) -> None:
    assert (
        measure_refused_share(name, [MILD[how](acquisition_shift.unit(grey)) for grey in some_films(name)]) <= BEARABLE
    )


@pytest.mark.parametrize("name", [CHILD, ADULT])
def test_a_film_lying_on_its_side_gets_none(name: str) -> None:
    assert measure_refused_share(name, [grey.T[::-1] for grey in some_films(name)]) >= 1.0 - BEARABLE


def test_a_black_frame_makes_no_child_ill() -> None:
    """The child's network calls every sixth healthy film in a narrow black frame ill; so it is given none."""
    pack = Pack.load(shipped_packs_dir() / CHILD)
    spec, output = pack.manifest.input, pack.manifest.section.output
    session = registry.get_runtime(registry.DEFAULT).load(pack.artefact(registry.DEFAULT, "int8"))

    def positive(grey: Grey) -> bool:
        activation = session.infer({spec.name: to_model_input(grey, spec)})[output.map][0]
        return classify.make_findings(activation, pack.manifest.section.findings)[0].positive

    answers = [
        (positive(grey), positive(np.pad(grey, width, constant_values=grey.min())))
        for grey in some_films(CHILD)
        for width in (3, 22)
    ]
    assert not all(alone for alone, _ in answers)
    assert all(alone == framed for alone, framed in answers)
