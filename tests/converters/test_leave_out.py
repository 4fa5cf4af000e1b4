"""How good a network is on films of a source that it never saw."""

import json
from dataclasses import replace
from pathlib import Path

from converters import cli
from converters.packing import card
from converters.packing.card_notes import HOW_UNSEEN
from converters.report.step_results import Accounts
from firmware_app.packs.pack_folder import Pack
from tests import toy_pack
from tests.converters.conftest import PLAIN, write_recipe
from tests.converters.test_training import write_sources


def test_every_source_is_read_by_a_network_that_never_saw_it(films: Path, tmp_path: Path, fresh_lists: Path) -> None:
    from converters.packing.measurement import unseen
    from converters.recipe import load_recipe
    from converters.training.leave_out import leave_out
    from converters.training.steps import RecipeRun

    data = write_sources(films, tmp_path / "films")
    tables = {**PLAIN, "abstain": {"error": 0.3}, "data": {"reader": "masks", "folds": 2, "leave_out": "source"}}
    recipe = write_recipe(tmp_path, **tables)
    command = [str(recipe), "--data", str(data), "--out", str(tmp_path / "out")]
    assert cli.main(["leave-out", *command]) == 0
    work = tmp_path / "out" / "work" / "toy-disc"
    told = json.loads((work / "leave_out.json").read_text())["results"]
    run = RecipeRun(load_recipe(recipe), tmp_path, data, work)
    source_of = {film.name: dict(film.traits)["source"] for film in run.dataset.films.films}
    folds, test = leave_out(run, "source"), set(run.dataset.division.test)
    assert [one["value"] for one in told["sources"]] == list(folds) == ["new", "old"]
    for one, (value, left) in zip(told["sources"], folds.items(), strict=True):
        fold, kept = left.fold, left.kept
        assert {source_of[name] for name in fold.held} == {value}
        assert value not in {source_of[name] for name in fold.train}
        assert test.isdisjoint(fold.held + fold.train + kept)
        assert {source_of[name] for name in kept}.isdisjoint({value})
        assert set(kept).isdisjoint(fold.train)
        assert (one["n"], one["learnt_from"]) == (len(fold.held), len(fold.train))
        assert 0.0 <= one["auc_ci"][0] <= one["auc"] <= one["auc_ci"][1] <= 1.0
    assert [one.value for one in Accounts.read(work).unseen] == ["new", "old"]
    pack = Pack.load(toy_pack.write(tmp_path / "packs", "toy", "adult", 18, None, threshold=0.6))
    rows = tuple(unseen(run, pack))
    assert [(row.split, row.auc, row.sensitivity, row.threshold) for row in rows] == [
        (f"unseen[source={one['value']}]", one["auc"], one["sensitivity"], one["threshold"] or 0.6)
        for one in told["sources"]
    ]
    assert [(row.passed, row.wrong_passed) for row in rows] == [
        (one["passed"], one["wrong_passed"]) for one in told["sources"]
    ]
    assert [one["coverage"]["points"][0]["wrong"] for one in told["sources"]] == [row.wrong for row in rows]
    assert {row.runtime for row in rows} == {"pytorch"}
    net = run.recipe.net.model_copy(update={"teacher": "lite0-cut"})
    taught = replace(run, recipe=run.recipe.model_copy(update={"net": net}))
    assert {row.runtime for row in unseen(taught, pack)} == {"pytorch, teacher"}
    assert HOW_UNSEEN not in card.text(pack.manifest)
    shown = card.text(pack.manifest.model_copy(update={"measured": (*pack.manifest.measured, *rows)}))
    assert HOW_UNSEEN in shown
    assert "| unseen[source=old], all |" in shown
    assert not list(work.glob("student*"))
    before = (work / "leave_out.json").stat().st_mtime_ns
    assert cli.main(["leave-out", *command]) == 0
    assert (work / "leave_out.json").stat().st_mtime_ns == before
    write_recipe(tmp_path, **PLAIN, data={"reader": "masks", "folds": 2})
    assert cli.main(["leave-out", *command]) == 0
    assert Accounts.read(work).unseen == ()
