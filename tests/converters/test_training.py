"""What a fit learns from, and what stops it."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters import cli
from tests.converters.conftest import PLAIN, draw, write_recipe

SOURCES = ("old", "new")


def run_step(folder: Path, films: Path, step: str = "train", **changes: Any) -> int:
    recipe = write_recipe(folder, **changes)
    return cli.main([step, str(recipe), "--data", str(films), "--out", str(folder / "out")])


def write_sources(films: Path, folder: Path) -> Path:
    """The films as ``labels.csv`` beside ``images/``, half of them from each of two sources."""
    (folder / "images").mkdir(parents=True)
    rows = ["file,class,source"]
    for number, path in enumerate(sorted(films.rglob("*.png"))):
        (folder / "images" / path.name).write_bytes(path.read_bytes())
        rows.append(f"{path.name},{path.parent.name},{SOURCES[number % 2]}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_a_loss_that_is_no_number_stops_the_fit_with_a_sentence(
    films: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_step(tmp_path, films, **PLAIN, train={"learning_rate": 1e30, "epochs": 3}) == 1
    said = capfd.readouterr().err
    assert "loss became NaN or infinite in epoch" in said
    assert "Traceback" not in said
    assert not (tmp_path / "out" / "work" / "toy-disc" / "train.json").exists()


def test_a_film_teaches_the_channel_of_its_own_label_and_no_other() -> None:
    import torch

    from converters.recipe_tables import Train
    from converters.training.targets import Targets
    from converters.training.train import cross_entropy

    logits = torch.zeros(4, 2, requires_grad=True)
    aim = Targets(np.array([0, 1, 0, 1], np.float32), np.ones(4, np.float32), np.array([0, 0, 1, 1]))
    cross_entropy(logits, aim, np.arange(4), Train()).sum().backward()
    assert logits.grad is not None
    assert (logits.grad != 0).tolist() == [[True, False]] * 2 + [[False, True]] * 2


def test_a_set_with_its_own_head_shapes_the_features_and_is_in_no_pack(
    films: Path, tmp_path: Path, fresh_lists: Path
) -> None:
    """Its labels are the wrong way round, which the finding must not learn: not the teacher, not the student.
    Such a set is no source to be left out, and is learnt from when another one is."""
    from converters.recipe import load_recipe
    from converters.statistics import intervals
    from converters.training import checkpoint, leave_out, steps, train

    data, more = write_sources(films, tmp_path / "films"), draw(tmp_path / "turned", 24, seed=5)
    (more / "disc").rename(tmp_path / "clear")
    (more / "clear").rename(more / "disc")
    (tmp_path / "clear").rename(more / "clear")
    changes: dict[str, Any] = {
        "data": {"reader": "masks", "folds": 1, "leave_out": "site"},
        "prune": {"final_epochs": 1},
        "train": {"even": "source", "epochs": 6},
        "distill": {"epochs": 6},
    }
    recipe = write_recipe(tmp_path, **changes)
    beside = '[[data.beside]]\npath = "turned"\nreader = "folder"\npositive = "disc"\nown_head = true\n'
    recipe.write_text(recipe.read_text() + beside)
    for step in ("train", "distill", "prune"):
        assert cli.main([step, str(recipe), "--data", str(data), "--out", str(tmp_path / "out")]) == 0
    run = steps.RecipeRun(load_recipe(recipe), tmp_path, data, tmp_path / "out" / "work" / "toy-disc")
    fold = run.dataset.division.shipped
    assert len(checkpoint.load(run.path("teacher", fold)).state["bias"]) == 2
    assert [len(checkpoint.load(run.path(one, fold)).state["bias"]) for one in ("student", "pruned")] == [1, 1]
    recipe.write_text(recipe.read_text() + "weight = 0.5\n")
    assert replace(run, recipe=load_recipe(recipe)).digest != run.digest  # it is fitted again
    own = run.dataset.own_heads
    for value, left in leave_out.leave_out(run, "site").items():
        assert value in SOURCES
        assert own <= set(left.fold.train)
        assert own.isdisjoint(left.fold.held + left.kept)
    held = run.films(fold.held)
    for stage in ("teacher", "student"):
        net = train.restore(run.path(stage, fold))
        area = intervals.auc(np.array([film.label for film in held.films]), run.scores(net, run.array(held)))
        assert area is not None
        assert area > 0.7, stage


def test_alignment_brings_the_features_of_two_sources_together() -> None:
    import torch

    from converters.training.domain_alignment import Alignment

    torch.manual_seed(0)
    features = torch.cat([torch.randn(16, 4), torch.randn(16, 4) + 2.0]).requires_grad_()
    index = np.arange(32)
    apart = Alignment("coral", ["old"] * 16 + ["new"] * 16, 4)(features, index)
    same = Alignment("coral", ["old", "new"] * 16, 4)(features, index)
    assert float(apart.mean()) > 3.0 * float(same.mean())
    judge = Alignment("adversarial", ["old"] * 16 + ["new"] * 16, 4)
    loss = judge(features, index).mean()
    (turned,) = torch.autograd.grad(loss, features, retain_graph=True)
    straight = torch.nn.functional.cross_entropy(judge.judge(features), judge.source[torch.from_numpy(index)])
    (plain,) = torch.autograd.grad(straight, features)
    assert torch.allclose(turned, -plain)


def test_a_student_learns_from_films_without_labels(films: Path, tmp_path: Path) -> None:
    draw(tmp_path / "more", 6, seed=7)
    changes: dict[str, Any] = {
        "data": {"folds": 1, "unlabelled": [os.path.relpath(tmp_path / "more", films.parent)]},
        "prune": None,
        "distill": {"unlabelled_share": 0.25},
    }
    assert run_step(tmp_path, films, **changes) == 0
    assert run_step(tmp_path, films, "distill", **changes) == 0

    from converters.recipe import load_recipe
    from converters.training import steps

    work = tmp_path / "out" / "work" / "toy-disc"
    run = steps.RecipeRun(load_recipe(tmp_path / "toy-disc.toml"), tmp_path, films, work)
    extra = run.extra.pixels_of(run.dataset.division.shipped)
    assert len(extra) == round(len(run.dataset.division.shipped.train) / 3)
    assert (run.work / "student.fold0.pt").is_file()


def test_a_fit_starts_anew_when_its_films_changed_under_their_names(
    films: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "films"
    for path in films.rglob("*.png"):
        (own / path.parent.name).mkdir(parents=True, exist_ok=True)
        (own / path.parent.name / path.name).write_bytes(path.read_bytes())
    plain = {**PLAIN, "train": {"epochs": 1}, "data": {"folds": 1}}
    assert run_step(tmp_path, own, **plain) == 0
    account = tmp_path / "out" / "work" / "toy-disc" / "train.json"
    before = account.stat().st_mtime_ns
    capfd.readouterr()
    assert run_step(tmp_path, own, **plain) == 0
    assert account.stat().st_mtime_ns == before
    changed = next(path for path in sorted(own.rglob("*.png")))
    changed.write_bytes(changed.read_bytes() + b"\0")
    assert run_step(tmp_path, own, **plain) == 0
    assert account.stat().st_mtime_ns != before
    said = capfd.readouterr().err
    assert "going on after epoch" not in said
    assert "epoch 1/1" in said
