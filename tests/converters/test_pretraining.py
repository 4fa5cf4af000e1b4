"""A start learnt without labels: it is not random, sees no film that judges a pack, and says where it comes from."""

from pathlib import Path

import pytest
import torch

from converters import cli
from converters.pretraining import pretrain
from converters.recipe import load_pretraining
from converters.training import checkpoint
from converters.workflow.ledger import digest_of
from tests.converters.conftest import draw, write_recipe

PLAN = """
net = "plain-small"
size = 64
fit = { epochs = %d, batch = 8, learning_rate = 3e-3, average_steps = 4, warmup_steps = 2, dropout = 0.0 }
[[sources]]
path = "discs"
licence = "CC0"
citation = "made by the test"
"""


def write_plan(folder: Path, epochs: int = 2) -> Path:
    (folder / "plain.toml").write_text(PLAN % epochs)
    return folder / "plain.toml"


def test_a_stopped_pretraining_goes_on_and_comes_to_the_teacher(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    draw(tmp_path / "discs", 12)
    plan = load_pretraining(write_plan(tmp_path, 24))
    pretrain.pretrain(plan, tmp_path, tmp_path / "plain.pt", tmp_path)
    losses = [
        float(line.split("loss ")[1].split()[0]) for line in capfd.readouterr().err.splitlines() if "epoch" in line
    ]
    assert len(losses) == 24
    assert sum(losses[-4:]) < 0.95 * sum(losses[:4])
    first = checkpoint.load(tmp_path / "plain.pt").state
    (tmp_path / "plain.pt").unlink()
    pretrain.pretrain(plan, tmp_path, tmp_path / "plain.pt", tmp_path)
    assert "going on after epoch 24" in capfd.readouterr().err
    assert all(torch.equal(value, first[key]) for key, value in checkpoint.load(tmp_path / "plain.pt").state.items())


def test_a_student_begins_from_it_unless_it_has_seen_a_test_film(
    films: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from converters.recipe import load_recipe
    from converters.training import train

    draw(tmp_path / "discs", 6, seed=9)
    made = pretrain.pretrain(load_pretraining(write_plan(tmp_path)), tmp_path, tmp_path / "plain.pt", tmp_path)
    path = write_recipe(tmp_path, distill={"start": "pretrained:plain.pt"})
    recipe = load_recipe(path)
    assert recipe.distill is not None
    net, saved = train.initialise_student(recipe, recipe.distill, tmp_path, tmp_path), checkpoint.load(made)
    for key, value in net.state_dict().items():
        assert key.startswith(net.fresh) or torch.equal(value, saved.state[key]), key

    digests = {path.name: digest_of(path) for path in films.rglob("*.png")}
    known = {**saved.facts, "films": {f"elsewhere/{name}": word for name, word in digests.items()}}
    checkpoint.save(made, checkpoint.Checkpoint(saved.net, saved.plan, saved.state, known))
    assert cli.main(["train", str(path), "--data", str(films), "--out", str(tmp_path / "out")]) == 1
    assert "both learnt from and judged on" in capfd.readouterr().err
