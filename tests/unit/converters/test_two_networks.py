"""Two networks as one: their pool, their weights and their disagreement, by arithmetic that a person can check."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from converters.data.predictions import Predictions
from converters.failures import GateFailed, RecipeInvalid
from converters.recipe import load_recipe
from converters.tasks import two_networks
from firmware_app.packs.tasks import classify
from firmware_app.packs.tasks.interface import Frame, FramePolicy, Section
from tests.unit.packs.test_targets_on_the_box import spec

pytestmark = pytest.mark.usefixtures("few_resamples")

FRAME = Frame(64, 128, instance="i-1")
MEMBERS = {
    "networks": ["lite0-cut", "plain"],
    "channels": [1, 2],
    "weights": [0.25, 0.75],
    "most_apart": 0.3,
    "films": 100,
    "given": 0.95,
    "given_ci": [0.9, 0.98],
}
OUTPUT = classify.Output.model_validate({"map": "map", "full_scale": 1.0, "members": MEMBERS})
SECTION = Section(OUTPUT, (spec("disc", 0, 0.5),), FramePolicy())


def outputs(pooled: float, first: float, second: float) -> dict[str, Any]:
    return {"map": np.stack([np.full((4, 4), one, np.float32) for one in (pooled, first, second)])[np.newaxis]}


def test_a_picture_is_uncertain_where_the_two_probabilities_lie_too_far_apart() -> None:
    agreed = classify.answer(SECTION, outputs(1.0, 0.5, 1.5), FRAME)  # 0.62 and 0.82
    doubted = classify.answer(SECTION, outputs(1.0, -0.5, 1.5), FRAME)  # 0.38 and 0.82
    assert [agreed.unsure, doubted.unsure] == [False, True]
    assert agreed.findings == doubted.findings
    assert classify.together(SECTION, [agreed, doubted]).unsure
    assert not classify.together(SECTION, [agreed, doubted, agreed]).unsure
    alone = replace(SECTION, output=classify.Output(map="map", full_scale=1.0))
    assert not classify.answer(alone, outputs(1.0, -0.5, 1.5), FRAME).unsure
    with pytest.raises(ValueError, match="two networks"):
        classify.answer(SECTION, {"map": np.zeros((1, 2, 4, 4), np.float32)}, FRAME)


def test_the_network_that_tells_more_weighs_more_and_one_that_has_learnt_nothing_is_refused() -> None:
    rng = np.random.default_rng(3)
    labels = (np.arange(400) % 2).astype(np.int64)
    shift = 2.0 * labels - 1.0
    odds = np.stack([shift * 1.5 + rng.normal(size=400), shift * 0.3 + rng.normal(size=400)], axis=1)
    slopes, intercepts = two_networks.calibrate(labels, odds, ("good", "poor"))
    weights = two_networks.weigh(labels, odds * slopes + intercepts)
    assert weights.sum() == pytest.approx(1.0)
    assert weights[0] > 0.6
    assert two_networks.weigh(labels, odds[:, [0, 0]]).tolist() == [0.5, 0.5]
    with pytest.raises(GateFailed, match="poor"):
        two_networks.calibrate(labels, odds * [1.0, -1.0], ("good", "poor"))


def test_as_many_held_back_films_get_no_number_as_the_recipe_says_and_it_is_told_how_many_of_them_are_wrong(
    tmp_path: Any,
) -> None:
    rng = np.random.default_rng(7)
    labels = (np.arange(200) % 2).astype(np.int64)
    own = (3.0 * labels - 1.5)[:, np.newaxis] + rng.normal(0.0, 1.5, (200, 2))
    pooled = own.mean(axis=1)
    cells = np.stack([pooled, *own.T], axis=1)[:, :, np.newaxis, np.newaxis].repeat(3, 2).repeat(3, 3)
    films = tuple(f"f{number}" for number in range(200))
    original = Predictions(films, labels, films, pooled, ({},) * 200)
    point = {"slope": 1.0, "intercept": 0.0, "threshold": 0.5}
    recipe = tmp_path / "own.toml"
    recipe.write_text(RECIPE, "utf-8")
    found = two_networks.disagreement(load_recipe(recipe), original, point, cells.astype(np.float32))
    members = classify.NetworkPair.model_validate({**found, "weights": [0.5, 0.5]})
    assert members.given == pytest.approx(0.9, abs=0.006)
    assert members.wrong is not None
    assert members.wrong_apart is not None
    assert members.wrong_apart > 2 * members.wrong
    assert "plain-small 0.5 and plain 0.5" in two_networks.describe(members)


RECIPE = """
pack = "own"
version = "0.0.1"
describe = "own.words.toml"
data = { reader = "folder", positive = "disc" }
net = { student = "pair", members = ["plain-small", "plain"] }
train = { start = "random" }
abstain = { disagreement = 0.1 }
"""


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (('members = ["plain-small", "plain"]', 'members = ["plain", "plain"]'), "two unlike networks"),
        (('student = "pair"', 'student = "plain"'), "two unlike networks"),
        (('start = "random"', 'start = "own.pt"'), "start of a pair"),
        (("abstain =", "quantize = { qat_epochs = 2 }\nabstain ="), "trained plainly"),
        (("abstain =", 'classify = { kind = "labels", labels = ["a"] }\nabstain ='), "one finding of films"),
    ],
)
def test_a_pair_that_cannot_be_made_is_one_sentence(tmp_path: Any, change: tuple[str, str], why: str) -> None:
    assert change[0] in RECIPE
    (tmp_path / "own.toml").write_text(RECIPE.replace(*change), "utf-8")
    with pytest.raises(RecipeInvalid, match=why):
        load_recipe(tmp_path / "own.toml")
