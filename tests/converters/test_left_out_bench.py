"""The screening of changes for sources left out: its figures are paired, and its changes leave films films."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bench.left_out import RECIPE, Source
from bench.left_out_changes import CHANGES, Scene
from bench.left_out_fits import FITS, HOME, SETS, gain, row
from converters.data.datasets import Film, FilmSet
from converters.data.splits import Fold
from converters.recipe import load_recipe

SIDE, FILMS = 96, 4


def test_a_change_that_changes_nothing_gains_nothing() -> None:
    rng = np.random.default_rng(0)
    labels, views = np.arange(60) % 2, np.array(["AP", "PA", "PA"] * 20)
    scores = rng.normal(labels, 1.0, (2, 60))
    people = tuple(str(number // 2) for number in range(60))
    same = Source("early", labels, people, views, scores, scores).as_dict()
    assert (same["gain"], same["gain_ci"]) == (0.0, (0.0, 0.0))
    better = Source("early", labels, people, views, scores + 3.0 * labels, scores).as_dict()
    assert better["gain_ci"][0] > 0.0
    by_view = Source("early", labels, people, views, scores + 50.0 * (views == "AP"), scores).as_dict()
    assert by_view["auc"] < by_view["within_view"]


@pytest.mark.parametrize("name", [name for name, change in CHANGES.items() if change.vary or change.prepare])
def test_a_change_gives_other_films_of_the_same_range(name: str) -> None:
    rng = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.avg_pool2d(torch.rand(FILMS, 1, SIDE, SIDE, generator=rng), 9, 1, 4)
    films = (smooth - smooth.amin()) / (smooth.amax() - smooth.amin())
    change = CHANGES[name]
    if change.vary is not None:
        changed = change.vary(films, rng)
        assert changed.shape == films.shape
        assert 0.0 <= float(changed.min()) <= float(changed.max()) <= 1.0
        assert float((changed - films).abs().mean()) > 0.005
    if change.prepare is not None:
        greys = np.asarray((films[:, 0] * 255.0).round().to(torch.uint8).numpy())
        made = change.prepare(greys, np.tile([2000.0, 2500.0], (FILMS, 1)))
        assert made.dtype == np.uint8
        assert len(made) == FILMS
        assert made.shape != greys.shape or not np.array_equal(made, greys)


def test_every_way_to_learn_ranks_films_whose_features_tell() -> None:
    rng, names = np.random.default_rng(0), [str(number) for number in range(60)]
    films = tuple(
        Film(name, Path(name), row % 2, name, traits=(("view", "AP" if row % 3 else "PA"), ("patients", "early")))
        for row, name in enumerate(names)
    )
    labels = np.arange(60) % 2
    seen = rng.normal(0.0, 1.0, (2, 60, 64)).astype(np.float32)
    seen[:, :, :4] += 2.0 * labels[:, np.newaxis]
    headers = np.stack([labels * 100.0 + 1000.0, np.full(60, 1000.0)], axis=1)
    fold = Fold("one", tuple(names[:40]), tuple(names[40:]))
    scene = Scene(FilmSet("made", "abnormal", films), seen, headers, fold, load_recipe(RECIPE))
    for learn in {change.learn for change in CHANGES.values()}:
        scores = learn(scene)
        assert scores.shape == (20,)
        assert scores[labels[40:] == 1].mean() > scores[labels[40:] == 0].mean() + 0.5


def test_a_whole_fits_rates_are_at_the_threshold_that_was_chosen_at_home() -> None:
    """Of four positives three lie at or above the cut, of five negatives two below it; two films are of one patient."""
    labels, scores = [1, 1, 1, 1, 0, 0, 0, 0, 0], [3.0, 2.0, 1.0, -1.0, 4.0, 1.5, 1.0, 0.5, -2.0]
    films = tuple(Film(str(n), Path(str(n)), label, str(max(n, 1))) for n, label in enumerate(labels))
    told = row("away", FilmSet("away", "x", films), np.array(scores), 1.0)
    assert (told["n"], told["positives"]) == (9, 4)
    assert (told["sensitivity"], told["specificity"]) == (0.75, 0.4)
    assert told["auc"] == pytest.approx((4 + 4 + 2.5 + 1) / 20)
    same, better = (gain(FilmSet("away", "x", films), np.array(scores) + more, np.array(scores))
                    for more in (0.0, 10.0 * np.array(labels)))  # fmt: skip
    assert (same["gain"], same["gain_ci"]) == (0.0, (0.0, 0.0))
    assert better["gain"] == pytest.approx(1.0 - told["auc"])


def test_a_whole_fit_is_home_at_siim_and_leaves_a_source_out() -> None:
    for fit in FITS.values():
        assert HOME not in fit.beside
        assert set(SETS) - {HOME} - set(fit.beside)
