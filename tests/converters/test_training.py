"""What a fit learns from, and what stops it."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters import cli
from tests.converters.conftest import PLAIN, draw, write_recipe

SOURCES = ("old", "new")


def trained(folder: Path, films: Path, step: str = "train", **changes: Any) -> int:
    recipe = write_recipe(folder, **changes)
    return cli.main([step, str(recipe), "--data", str(films), "--out", str(folder / "out")])


def with_sources(films: Path, folder: Path) -> Path:
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
    assert trained(tmp_path, films, **PLAIN, train={"learning_rate": 1e30, "epochs": 3}) == 1
    said = capfd.readouterr().err
    assert "loss became NaN or infinite in epoch" in said
    assert "Traceback" not in said
    assert not (tmp_path / "out" / "work" / "toy-disc" / "train.json").exists()


def test_an_empty_class_is_one_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str], fresh_lists: Path) -> None:
    films = draw(tmp_path / "films", 1)
    assert trained(tmp_path, films, **PLAIN) == 1
    assert "film. Give more films, or set [data] folds lower" in capfd.readouterr().err
    assert list((tmp_path / "out" / "work" / "toy-disc").glob("*.pt")) == []


def test_a_leaky_test_list_is_an_error_that_names_the_films(
    films: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], fresh_lists: Path
) -> None:
    leaky = tmp_path / "films"
    for name in ("clear", "disc"):
        (leaky / name).mkdir(parents=True)
        for path in sorted((films / name).iterdir()):
            (leaky / name / path.name).write_bytes(path.read_bytes())
    copy = leaky / "disc" / "copy-of-disc03.png"
    copy.write_bytes((leaky / "disc" / "disc03.png").read_bytes())
    (fresh_lists / "toy-disc.test.txt").write_text("clear/clear01.png\ndisc/disc03.png\n")
    assert trained(tmp_path, leaky, **PLAIN) == 1
    said = capfd.readouterr().err
    assert "copy-of-disc03.png" in said
    assert "disc/disc03.png" in said


@pytest.mark.parametrize("alignment", ["coral", "adversarial"])
def test_features_can_be_aligned_between_sources(
    films: Path, tmp_path: Path, alignment: str, fresh_lists: Path
) -> None:
    data = with_sources(films, tmp_path / "films")
    train = {"alignment": alignment, "alignment_weight": 0.5}
    assert trained(tmp_path, data, **PLAIN, data={"reader": "masks", "folds": 1}, train=train) == 0
    assert (tmp_path / "out" / "work" / "toy-disc" / "student.fold0.pt").is_file()


def test_a_fit_draws_its_sources_evenly_and_distils_so(films: Path, tmp_path: Path, fresh_lists: Path) -> None:
    """Whatever the sizes of the two sources are: the source ``new`` loses two of three films first."""
    from converters.recipe import load_recipe
    from converters.training import steps

    data = with_sources(films, tmp_path / "films")
    table = (data / "labels.csv").read_text().splitlines()
    kept = [row for number, row in enumerate(table) if row.endswith(("source", ",old")) or number % 3 == 0]
    (data / "labels.csv").write_text("\n".join(kept) + "\n")
    changes: dict[str, Any] = {"data": {"reader": "masks", "folds": 1}, "train": {"even": "source"}, "prune": None}
    assert trained(tmp_path, data, **changes) == 0
    assert trained(tmp_path, data, "distill", **changes) == 0
    run = steps.RecipeRun(
        load_recipe(tmp_path / "toy-disc.toml"), tmp_path, data, tmp_path / "out" / "work" / "toy-disc"
    )
    fold = run.dataset.division.shipped
    seen = run.seen(fold)
    assert seen.even is not None
    cells = [(film.values("source"), film.label) for film in run.films(fold.train).films]
    counts = [[cells[row] for row in seen.even.order(1)].count(cell) for cell in sorted(set(cells))]
    assert len(counts) == 4
    assert max(counts) - min(counts) <= 1


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

    data, more = with_sources(films, tmp_path / "films"), draw(tmp_path / "turned", 24, seed=5)
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
    for value, left in leave_out.left_out(run, "site").items():
        assert value in SOURCES
        assert own <= set(left.fold.train)
        assert own.isdisjoint(left.fold.held + left.kept)
    held = run.films(fold.held)
    for stage in ("teacher", "student"):
        net = train.restored(run.path(stage, fold))
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


def test_hard_films_are_drawn_again_in_place_of_the_easy_ones() -> None:
    import torch

    from converters.training.fitting import drawn

    losses = np.arange(20, dtype=np.float64)
    order = drawn(20, losses, 0.25, torch.Generator().manual_seed(0))
    counts = np.bincount(order, minlength=20)
    assert counts[:5].tolist() == [0] * 5
    assert counts[15:].tolist() == [2] * 5
    plain = drawn(20, np.full(20, np.inf), 0.25, torch.Generator().manual_seed(0))
    assert sorted(plain) == list(range(20))


def test_a_fit_with_hard_examples_runs(films: Path, tmp_path: Path) -> None:
    assert trained(tmp_path, films, **PLAIN, train={"epochs": 2, "hard_examples": 0.2}) == 0


def test_a_student_learns_from_films_without_labels(films: Path, tmp_path: Path) -> None:
    draw(tmp_path / "more", 6, seed=7)
    changes: dict[str, Any] = {
        "data": {"folds": 1, "unlabelled": [os.path.relpath(tmp_path / "more", films.parent)]},
        "prune": None,
        "distill": {"unlabelled_share": 0.25},
    }
    assert trained(tmp_path, films, **changes) == 0
    assert trained(tmp_path, films, "distill", **changes) == 0

    from converters.recipe import load_recipe
    from converters.training import steps

    work = tmp_path / "out" / "work" / "toy-disc"
    run = steps.RecipeRun(load_recipe(tmp_path / "toy-disc.toml"), tmp_path, films, work)
    extra = run.extra.of(run.dataset.division.shipped)
    assert len(extra) == round(len(run.dataset.division.shipped.train) / 3)
    assert (run.work / "student.fold0.pt").is_file()


def test_a_student_that_begins_from_a_pack_which_knows_the_test_films_is_refused(
    films: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "out" / "work" / "other"
    other.mkdir(parents=True)
    known = {path.relative_to(films).as_posix(): "" for path in films.rglob("*.png")}
    (other / "learnt.json").write_text(json.dumps({"films": known}))
    (other / "student.whole.pt").write_bytes(b"never opened")
    assert trained(tmp_path, films, distill={"start": "pack:other"}) == 1
    assert "a patient or film is both learnt from and judged on" in capfd.readouterr().err
    assert not list((tmp_path / "out" / "work" / "toy-disc").glob("*.pt"))


def test_a_fit_starts_anew_when_its_films_changed_under_their_names(
    films: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "films"
    for path in films.rglob("*.png"):
        (own / path.parent.name).mkdir(parents=True, exist_ok=True)
        (own / path.parent.name / path.name).write_bytes(path.read_bytes())
    plain = {**PLAIN, "train": {"epochs": 1}, "data": {"folds": 1}}
    assert trained(tmp_path, own, **plain) == 0
    account = tmp_path / "out" / "work" / "toy-disc" / "train.json"
    before = account.stat().st_mtime_ns
    capfd.readouterr()
    assert trained(tmp_path, own, **plain) == 0
    assert account.stat().st_mtime_ns == before
    changed = next(path for path in sorted(own.rglob("*.png")))
    changed.write_bytes(changed.read_bytes() + b"\0")
    assert trained(tmp_path, own, **plain) == 0
    assert account.stat().st_mtime_ns != before
    said = capfd.readouterr().err
    assert "going on after epoch" not in said
    assert "epoch 1/1" in said


def test_films_without_a_label_weigh_by_their_teacher_alone() -> None:
    import torch

    from converters.nets import build
    from converters.recipe_tables import Distill, Train
    from converters.training.distill import taught
    from converters.training.targets import Targets

    torch.manual_seed(0)
    teacher, student = build("plain-small"), build("plain-small")
    films = torch.rand(4, 1, 64, 64)
    losses = []
    for labels in (np.zeros(4), np.ones(4)):
        aim = Targets(labels.astype(np.float32), np.ones(4, np.float32), np.zeros(4, np.int64))
        objective = taught(
            student, [teacher], aim, np.array([True, True, False, False]), Distill(hint_weight=0.0), Train(), films
        )
        student.eval()
        losses.append(objective(student, films, np.arange(4)).detach())
    assert torch.all((losses[0] != losses[1])[:2])
    assert torch.allclose(losses[0][2:], losses[1][2:])
