"""The last resort: a network learns weights that bear rounding, and stays the network that it was."""

from pathlib import Path
from typing import Any

import pytest

from converters import cli
from converters.report.step_results import Accounts
from converters.workflow.ledger import digest_of
from tests.converters.conftest import ONE_FOLD, write_recipe


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_learning_with_rounding_brings_badly_rounded_layers_nearer_to_what_they_were(seed: int) -> None:
    import torch
    from torch import nn

    from converters.nets.foreign import ForeignNet
    from converters.quantizing.qat import round_weights
    from converters.recipe_tables import Input, Net

    torch.manual_seed(seed)
    first, second, films = nn.Conv2d(1, 8, 3, bias=False), nn.Conv2d(8, 1, 3, bias=False), torch.rand(8, 1, 16, 16)
    with torch.no_grad():  # a large weight on a silent channel makes the steps of all other weights coarse
        first.weight[0] = 0.0
        second.weight[:, 0] = 8.0
        wanted = second(first(films).relu())
    brought = ForeignNet(
        nn.Sequential(first, nn.ReLU(), second), Net(build="made.here:net", random=True), Input(size=16), outlines=False
    )
    net = round_weights(brought, films.numpy())

    def away(asked: Any) -> Any:
        return (asked(films)[0] - wanted).square().mean() / wanted.var()

    before, averaged = float(away(net).detach()), torch.optim.swa_utils.AveragedModel(net)  # as a fit keeps its weights
    optimiser = torch.optim.Adam([value for value in net.parameters() if value.requires_grad], lr=3e-3)
    for step in range(150):
        optimiser.param_groups[0]["lr"] = 3e-3 * (1.0 - step / 150) ** 2
        optimiser.zero_grad()
        away(net).backward()
        optimiser.step()
        if step >= 100:
            averaged.update_parameters(net)
    assert float(away(averaged).detach()) < 0.5 * before


def test_when_every_file_is_refused_the_network_is_fine_tuned_and_the_search_done_again(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from converters.formats import onnx_file
    from converters.quantizing import ptq_search

    changes = {
        **ONE_FOLD,
        "quantize": {"films": 16, "accuracy_control": False, "qat_epochs": 1},
        "export": {"runtimes": ["onnxruntime"], "precisions": ["fp32", "int8"]},
    }
    recipe = write_recipe(tmp_path, **changes)
    command = [str(recipe), "--data", str(films), "--out", str(tmp_path / "out")]
    for step in ("train", "calibrate", "export"):
        assert cli.main([step, *command]) == 0
    work = tmp_path / "out" / "work" / "toy-disc"
    weights = digest_of(work / "student.fold0.pt")
    genuine, asked = ptq_search.move, []

    def far_at_first(wanted: object, found: object) -> float:
        """The plain files are taken to be far away; what is made from fine-tuned weights is judged truly."""
        asked.append(genuine(wanted, found))  # type: ignore[arg-type]
        return 9.0 if len(asked) <= len(onnx_file.methods) else 0.01

    monkeypatch.setattr(ptq_search, "move", far_at_first)
    assert cli.main(["quantize", *command]) == 0
    (found,) = Accounts.read(work).quantized
    assert [(one.method, one.qat) for one in found.tried] == [
        (method, tuned) for tuned in (False, True) for method in onnx_file.methods
    ]
    assert found.found
    assert all("logits move by" in one.refused for one in found.tried if not one.qat)
    assert digest_of(work / "student.fold0.pt") == weights
    assert (work / "artefacts" / "fold0" / "model.int8.onnx").is_file()
    assert not (work / "qat").exists()
    assert max(asked[len(onnx_file.methods) :]) < 0.5
