"""From a checkpoint that somebody else made to a signed pack that reads a DICOM image on a box: four networks."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from converters import cli
from tests import films as dicom
from tests import scans
from tests.converters.conftest import on_a_box
from tests.converters.test_targets import RECIPE, SIDE, USUAL, background, bars, disc, words_of, written

STEPS = 80
EXPORT = """
[export]
runtimes = [{runtimes}]
[quantize]
films = 16
accuracy_control = false
"""


def recipe(folder: Path, words: str, runtimes: str, net: str, head: str, **parts: str) -> Path:
    """A recipe without training, which makes the runtimes' files of all precisions."""
    text = RECIPE.format(**{**USUAL, "head": head, "net": net, **parts})
    begin, end = text.index("[train]"), text.index("[operating_point]")
    path = folder / "toy.toml"
    by_cost = text[end:].replace('rule = "sensitivity"', 'rule = "cost"')
    path.write_text(text[:begin] + EXPORT.format(runtimes=runtimes) + by_cost, encoding="utf-8")
    (folder / "words.toml").write_text(words, encoding="utf-8")
    return path


def scenes(count: int, kind: str) -> list[tuple[str, Any, Any]]:
    """Films and their words: of classes one of three, of labels any of two."""
    rng, made = np.random.default_rng(4), []
    for number in range(count):
        grey, words = background(rng), []
        if number % 3 == 1 or (kind == "labels" and number % 2):
            disc(rng, 10.0, grey)
            words.append("disc")
        if number % 3 == 2:
            bars(grey)
            words.append("bars")
        made.append(("|".join(words) or ("none" if kind == "labels" else "clear"), grey, None))
    return made


def learnt(net: Any, pictures: Any, targets: Any, loss: Any, colours: int = 1, rate: float = 5e-3) -> Any:
    """``net`` after a few steps outside the project, as its author would have made them."""
    import torch

    torch.manual_seed(0)
    seen = torch.from_numpy(np.stack(pictures)).float()[:, None] / 255.0
    low, high = seen.flatten(1).quantile(0.005, dim=1), seen.flatten(1).quantile(0.995, dim=1)
    shape = (-1, *(1,) * (seen.ndim - 1))
    seen = ((seen - low.reshape(shape)) / (high - low).reshape(shape)).clamp(0.0, 1.0)
    seen = seen.repeat(1, colours, *(1,) * (seen.ndim - 2))
    optimiser = torch.optim.Adam(net.parameters(), lr=rate)
    net.train()
    for step in range(STEPS):
        index = torch.arange(step % 2, len(seen), 2)
        optimiser.zero_grad()
        loss(net(seen[index]), targets[index]).backward()
        optimiser.step()
    return net.eval()


def film_file(folder: Path, grey: Any) -> Path:
    """The film as a digital X-ray in DICOM, for which the pack's route asks."""
    made = dicom.film(np.clip(grey, 0, 255).astype(np.uint8), Modality="DX", ViewPosition="AP")
    return dicom.save(folder, "film.dcm", made)


def run(recipe: Path, data: Path) -> Path:
    out = recipe.parent / "out"
    assert cli.main(["run", str(recipe), "--data", str(data), "--out", str(out)]) == 0
    return out / "toy"


def test_a_three_class_resnet(tmp_path: Path) -> None:
    import torch

    from converters.nets import backbones

    made = scenes(60, "classes")
    targets = torch.tensor([("clear", "disc", "bars").index(word) for word, _, _ in made])
    net = backbones.get("resnet10-small").build(3, 3)
    torch.save(
        learnt(net, [g for _, g, _ in made], targets, torch.nn.functional.cross_entropy, 3).state_dict(),
        tmp_path / "resnet.pth",
    )
    head = '[classify]\nkind = "classes"\nlabels = ["clear", "disc", "bars"]\nnone = ["clear"]'
    said = 'backbone = "resnet10-small"\nweights = "resnet.pth"\ncolours = 3'
    pack = run(
        recipe(tmp_path, words_of("disc", "bars"), '"onnxruntime", "openvino"', said, head),
        written(tmp_path / "films", made, "class"),
    )
    case = on_a_box(pack, film_file(tmp_path, next(g for word, g, _ in made if word == "bars")), tmp_path)
    assert {one["code"]: one["positive"] for one in case["findings"]} == {"disc": False, "bars": True}
    assert case["priority"] == "soon"


def test_a_densenet_of_several_labels(tmp_path: Path) -> None:
    import torch

    from converters.nets import backbones

    made = scenes(60, "labels")
    targets = torch.tensor([[float(name in word) for name in ("disc", "bars")] for word, _, _ in made])
    net = backbones.get("densenet-small").build(2, 1)
    loss = torch.nn.functional.binary_cross_entropy_with_logits
    torch.save({"state_dict": learnt(net, [g for _, g, _ in made], targets, loss).state_dict()}, tmp_path / "dense.pt")
    head = '[classify]\nkind = "labels"\nlabels = ["disc", "bars"]'
    said = 'backbone = "densenet-small"\nweights = "dense.pt"'
    pack = run(
        recipe(tmp_path, words_of("disc", "bars"), '"onnxruntime", "litert"', said, head),
        written(tmp_path / "films", made, "labels"),
    )
    case = on_a_box(pack, film_file(tmp_path, next(g for word, g, _ in made if word == "disc|bars")), tmp_path)
    assert {one["code"]: one["positive"] for one in case["findings"]} == {"disc": True, "bars": True}


def test_a_foreign_onnx_file_that_measures(tmp_path: Path) -> None:
    import torch

    rng, made = np.random.default_rng(5), []
    for _ in range(60):
        grey, width = background(rng), float(rng.uniform(8.0, 40.0))
        disc(rng, width / 2.0, grey)
        made.append((f"{width:.1f}", grey, None))
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 5, 2, 2),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 8, 5, 2, 2),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(8, 1),
    )
    targets = torch.tensor([[float(word) / 10.0] for word, _, _ in made])
    learnt(net, [g for _, g, _ in made], targets, torch.nn.functional.mse_loss, rate=2e-2)
    batch = {0: torch.export.Dim("batch")}
    torch.onnx.export(
        net,
        (torch.rand(2, 1, SIDE, SIDE),),
        str(tmp_path / "width.onnx"),
        dynamo=True,
        external_data=False,
        verbose=False,
        dynamic_shapes=(batch,),
    )
    head = '[classify]\nkind = "number"\nat_least = 24.0'
    pack = run(
        recipe(tmp_path, words_of("wide", unit="px"), '"onnxruntime"', 'onnx = "width.onnx"', head),
        written(tmp_path / "films", made, "value"),
    )
    word, grey, _ = max(made, key=lambda one: float(one[0]))
    (found,) = on_a_box(pack, film_file(tmp_path, grey), tmp_path)["findings"]
    assert found["positive"]
    assert (found["unit"], found["value"]) == ("px", pytest.approx(float(word), abs=8.0))


MESHNET = """
from torch import nn

def network():
    layers = [nn.Conv3d(1, 8, 3, padding=1), nn.ReLU(), nn.BatchNorm3d(8)]
    for dilation in (2, 1):
        layers += [nn.Conv3d(8, 8, 3, padding=dilation, dilation=dilation), nn.ReLU(), nn.BatchNorm3d(8)]
    return nn.Sequential(*layers, nn.Conv3d(8, 2, 1))
"""
SHAPE = (8, 24, 24)


def ball(rng: np.random.Generator, there: bool) -> tuple[Any, Any]:
    """A volume and its mask."""
    place = np.stack(np.meshgrid(*(np.arange(side) for side in SHAPE), indexing="ij"))
    middle = np.array([4.0, *rng.uniform(7, 17, 2)]).reshape(3, 1, 1, 1)
    mask = (((place - middle) ** 2).sum(axis=0) < 12.0) & there
    return 70.0 + 6.0 * rng.standard_normal(SHAPE) + 110.0 * mask, mask


def test_a_meshnet_as_brainchop_has_them(tmp_path: Path) -> None:
    import torch

    namespace: dict[str, Any] = {}
    exec(MESHNET, namespace)
    (tmp_path / "own_mesh.py").write_text(MESHNET)
    rng, data = np.random.default_rng(6), tmp_path / "scans"
    volumes = [ball(rng, bool(number % 2)) for number in range(28)]
    for name, place in (("volumes", 0), ("masks", 1)):
        (data / name).mkdir(parents=True)
        for number, one in enumerate(volumes):
            np.save(data / name / f"v{number:02}.npy", one[place].astype(np.float32))
    targets = torch.from_numpy(np.stack([mask for _, mask in volumes])).long()
    net = learnt(
        namespace["network"](),
        [grey for grey, _ in volumes],
        targets,
        torch.nn.CrossEntropyLoss(weight=torch.tensor([1.0, 5.0])),
        rate=1e-2,
    )
    torch.save(net.state_dict(), tmp_path / "mesh.pth")
    words = words_of("ball").replace('drawn_as = "child"', 'drawn_as = "volume"').replace('"DX"', '"CT"')
    said = 'build = "own_mesh:network"\nweights = "mesh.pth"\nchannel = 1\nsoftmax = true'
    parts = {"depth": "depth = 8", "size": "24", "reader": "volumes", "positive": 'positive = "ball"'}
    pack = run(recipe(tmp_path, words, '"onnxruntime", "openvino"', said, 'task = "segment"', **parts), data)
    for there in (True, False):
        grey, _ = ball(np.random.default_rng(9), there)
        box = tmp_path / f"box-{there}"
        box.mkdir()
        (found,) = on_a_box(pack, scan_file(box, grey), box)["findings"]
        assert found["positive"] is there, found


def scan_file(folder: Path, grey: Any) -> Path:
    """The volume as one enhanced CT, its frames in another order than the slices."""
    made = scans.enhanced(scans.cuts(SHAPE[0], shape=SHAPE[1:]), BodyPartExamined="CHEST", ViewPosition=None)
    order = np.random.default_rng(0).permutation(SHAPE[0])
    groups = list(made.PerFrameFunctionalGroupsSequence)
    made.PerFrameFunctionalGroupsSequence = [_rescaled(groups[index]) for index in order]
    made.PixelData = np.concatenate([np.rint(grey[index]).clip(0).astype(np.uint16) for index in order]).tobytes()
    (path,) = scans.written(folder / "scan", [made])
    return path


def _rescaled(group: Dataset) -> Dataset:
    group.PixelValueTransformationSequence[0].RescaleIntercept = 0.0
    return group
