"""A network that the project has never seen goes through: a module with its weights, an ONNX file, outlines in volumes.

The recipes are those of ``converters/examples``, which ``docs/your-own-model.md`` shows; the films are drawn here.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from converters import cli
from converters.synthetic_images import phantom
from firmware_app.imaging.input_spec import Greys
from firmware_app.packs.execution_variants import ExecutionVariant
from firmware_app.packs.pack_folder import Pack, scan_packs
from firmware_app.packs.runtimes import registry
from firmware_app.reading.children import golden_cases

EXAMPLES = Path(__file__).parents[2] / "converters" / "examples"
PAGE = Path(__file__).parents[2] / "docs" / "your-own-model.md"
SHAPE = (8, 24, 24)
REFERENCE = '\n[reference]\nfunction = "own_model:score"\n'


def run(recipe: Path, data: Path, out: Path, step: str = "run") -> int:
    return cli.main([step, str(recipe), "--data", str(data), "--out", str(out)])


def train_briefly(network: Any, films: Path, mean: tuple[float, ...], std: tuple[float, ...], greys: Greys) -> Any:
    """``network`` after a few steps outside the project, as its author would have made them."""
    import torch

    from converters.data.datasets import image_folder
    from converters.data.preprocessing import prepare
    from firmware_app.imaging.model_input import InputSpec

    torch.manual_seed(0)
    every = image_folder(films, "disc")
    every_film = prepare(every, InputSpec("film", 64, 64, greys=greys))
    seen = torch.from_numpy(every_film).float().unsqueeze(1).repeat(1, 3, 1, 1) / 255.0
    seen = (seen - torch.tensor(mean).reshape(1, 3, 1, 1)) / torch.tensor(std).reshape(1, 3, 1, 1)
    labels = torch.tensor([film.label for film in every.films])
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    network.train()
    for _ in range(25):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(seen), labels).backward()
        optimiser.step()
    return network.eval()


@pytest.fixture(scope="module")
def own(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example recipes, and the example network's weights and ONNX file beside them."""
    import torch

    from converters.examples import own_model

    folder = tmp_path_factory.mktemp("own")
    shutil.copytree(EXAMPLES, folder, dirs_exist_ok=True)
    net = train_briefly(own_model.network(), films, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "full")
    torch.save(net.state_dict(), folder / "own_model.pt")
    plain = train_briefly(own_model.network(), films, (0.0,) * 3, (1.0,) * 3, "percentiles")
    batch = {0: torch.export.Dim("batch")}
    torch.onnx.export(
        plain,
        (torch.rand(2, 3, 64, 64),),
        str(folder / "own_model.onnx"),
        dynamo=True,
        external_data=False,
        verbose=False,
        input_names=["image"],
        output_names=["logits"],
        dynamic_shapes=(batch,),
    )
    return folder


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """28 volumes with their masks, balls in every other one."""
    folder = tmp_path_factory.mktemp("volumes")
    for name in ("volumes", "masks"):
        (folder / name).mkdir()
    for number in range(28):
        clear = phantom.volume(0, number, SHAPE).astype(np.float32)
        place = np.stack(np.meshgrid(*(np.arange(side) for side in SHAPE), indexing="ij"))
        rng, mask = np.random.default_rng(number), np.zeros(SHAPE, np.uint8)
        for _ in range(2 if number % 2 else 0):
            middle = np.array([rng.uniform(3, 5), rng.uniform(6, 18), rng.uniform(6, 18)]).reshape(3, 1, 1, 1)
            mask |= (((place - middle) ** 2).sum(axis=0) < rng.uniform(2.5, 3.5) ** 2).astype(np.uint8)
        np.save(folder / "volumes" / f"v{number:02}.npy", clear + 80.0 * mask)
        np.save(folder / "masks" / f"v{number:02}.npy", mask)
    return folder


def test_the_page_shows_the_examples_as_they_are() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name in ("own-model.toml", "own-onnx.toml", "own.words.toml", "meshnet.toml", "own_model.py"):
        assert (EXAMPLES / name).read_text(encoding="utf-8").strip() in page, name


def test_a_module_with_its_weights_becomes_a_pack_whose_map_means_its_own_answer(own: Path, films: Path) -> None:
    import torch

    from converters.examples import own_model
    from converters.training import checkpoint

    assert run(own / "own-model.toml", films, own / "out") == 0
    pack = Pack.load(own / "out" / "own-model")
    pack.verify()
    assert pack.manifest.input.greys == "full"
    agreed = pack.manifest.reference
    assert agreed is not None
    assert agreed.change == pytest.approx(0.0, abs=0.005)  # the box shows it what its own script does
    for page in ("CARD.md", "report.html"):
        text = (pack.folder / page).read_text(encoding="utf-8")
        assert (
            f"(own_model:score), which prepares each film as in training, reaches an AUC of {agreed.auc_home:.4f}"
            in text
        )
    passed = {(gate.runtime, gate.precision) for gate in pack.manifest.gates}
    refused = {(one.runtime, one.precision) for one in pack.manifest.refused}
    assert len(passed) + len(refused) == 7
    assert {"onnxruntime", "openvino", "litert"} <= {artefact.runtime for artefact in pack.manifest.artefacts}
    assert [one.name for one in scan_packs(own / "out").packs] == ["own-model"]
    film = np.random.default_rng(0).random((1, 1, 64, 64), dtype=np.float32)
    answer = registry.get_runtime("onnxruntime").load(pack.folder / "model.fp32.onnx").infer({"film": film})
    assert answer["map"].shape == (1, 1, 8, 8)
    net = own_model.network().eval()
    net.load_state_dict(checkpoint.foreign_state(own / "own_model.pt"))
    mean, std = (torch.tensor(one).reshape(1, 3, 1, 1) for one in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        two = net((torch.from_numpy(film).repeat(1, 3, 1, 1) - mean) / std)[0]
    wanted = float(two[1] - two[0])
    assert float(answer["map"].mean()) + pack.manifest.section.findings[0].bias == pytest.approx(wanted, abs=1e-3)


def test_an_onnx_file_becomes_a_pack_that_says_what_it_lacks(own: Path, films: Path) -> None:
    assert run(own / "own-onnx.toml", films, own / "out") == 0
    pack = Pack.load(own / "out" / "own-onnx")
    assert pack.manifest.output.features is None
    assert ("onnxruntime", "fp32") in {(artefact.runtime, artefact.precision) for artefact in pack.manifest.artefacts}
    refused = {one.runtime: one.why for one in pack.manifest.refused}
    assert "it reads PyTorch modules, and this is an ONNX file" in refused["litert"]
    card = (pack.folder / "CARD.md").read_text()
    assert "It does not show where" in card
    assert "it reads PyTorch modules" in card
    assert {row.runtime for row in pack.manifest.measured if row.split == "out-of-fold"} == {"onnx"}


def test_a_box_prepares_colours_and_a_letterbox_as_the_recipe_says(own: Path, films: Path) -> None:
    """Its golden images are narrow and of three different colours, and the box answers them in every file."""
    text = (own / "own-onnx.toml").read_text().replace('pack = "own-onnx"', 'pack = "own-colour"')
    shown = 'size = 64\nresize = "letterbox"\ncolour = "bgr"\nrange = [0.0, 1.0]\n'
    (own / "own-colour.toml").write_text(text.replace("size = 64\n", shown))
    assert run(own / "own-colour.toml", films, own / "out") == 0
    pack = Pack.load(own / "out" / "own-colour")
    spec = pack.manifest.input
    assert (spec.channels, spec.resize, spec.shape) == (3, "letterbox", (64, 64))
    with Image.open(pack.folder / "golden" / "phantom-opacities.png") as drawn:
        assert (drawn.mode, drawn.width < drawn.height) == ("RGB", True)
    for artefact in pack.manifest.artefacts:
        tried = golden_cases.run_variant(pack, ExecutionVariant(artefact.runtime, artefact.precision), {})
        assert tried.cases == len(pack.manifest.golden) >= 2


def test_a_module_without_named_features_learns_by_the_same_recipe(own: Path, films: Path) -> None:
    text = (own / "own-model.toml").read_text().replace('features = "body"\nclassifier = "head"\n', "")
    text = text.replace(REFERENCE, "")
    train = "\n[train]\nepochs = 1\nbatch = 8\nwarmup_steps = 2\naverage_steps = 2\n"
    recipe = own / "learnt.toml"
    recipe.write_text(text.replace('pack = "own-model"', 'pack = "own-learnt"') + train)
    for step in ("train", "calibrate"):
        assert run(recipe, films, own / "out", step) == 0
    told = json.loads((own / "out" / "work" / "own-learnt" / "calibrate.json").read_text())["results"]
    assert told["one_cell"] is True


def test_a_network_that_outlines_volumes_goes_through_and_a_box_takes_its_pack(
    own: Path, volumes: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(own / "meshnet.toml", volumes, tmp_path) == 0
    pack = Pack.load(tmp_path / "meshnet")
    pack.verify()
    assert pack.manifest.input.depth == SHAPE[0]
    by = {(gate.runtime, gate.precision): gate.said for gate in pack.manifest.gates}
    assert all("Dice" in said for said in by.values())
    lost = {(one.runtime, one.precision): one.why for one in pack.manifest.refused}
    assert len(by) + len(lost) == 7
    assert all(why for why in lost.values())
    assert "not one of its convolutions" in lost["litert", "int8"]  # a float file by another name is no INT8 file
    test = next(row for row in pack.manifest.measured if row.split == "test")
    assert test.dice is not None
    assert test.dice > 0.5
    assert test.dice_ci is not None
    assert test.lesion_sensitivity is not None
    assert "## Outlines" in (pack.folder / "CARD.md").read_text()
    assert [one.name for one in scan_packs(tmp_path).packs] == ["meshnet"]
    capfd.readouterr()
    assert cli.main(["evaluate", str(pack.folder), "--data", str(volumes), "--precision", "fp32", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told["dice"] > 0.5
    assert told["dice_ci"][0] <= told["dice"] <= told["dice_ci"][1]
    assert told["lesions"]["lesions"] >= 14


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("own_model:network", "own_model:absent", "cannot be imported"),
        ("own_model:network", "no_such_module:network", "cannot be imported"),
        ("own_model:network", "own_model:torch", "gives a"),
        ('features = "body"', 'features = "tail"', "has no submodule tail"),
        ('features = "body"', 'features = "body.0"', "net"),
        ("size = 64", "size = 16", None),
        ("colours = 3", "colours = 1", "mean and std have one number"),
        ("own_model.pt", "absent.pt", "there is no such file"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(
    own: Path, films: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], old: str, new: str, sentence: str | None
) -> None:
    for name in ("own_model.py", "own_model.pt", "own.words.toml"):
        shutil.copy(own / name, tmp_path / name)
    if new == "own_model:torch":
        (tmp_path / "odd_model.py").write_text("def network():\n    return 3\n")
        new = "odd_model:network"
    text = (own / "own-model.toml").read_text()
    assert old in text
    (tmp_path / "own-model.toml").write_text(text.replace(old, new).replace(REFERENCE, ""))
    status = run(tmp_path / "own-model.toml", films, tmp_path / "out", "calibrate")
    said = capfd.readouterr().err
    if sentence is None:  # a fully convolutional network takes any size
        assert status == 0
        return
    assert status == 1
    assert sentence in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("size = 64", "size = 96", "its input is"),
        ("colours = 3", "colours = 1", "its input is"),
        ('output = "logits"', 'output = "map"', "there is no output map (outputs: logits)"),
        ("channel = 1\nsoftmax = true", "channel = 2", "has 2 channels"),
        ("own_model.onnx", "own_model.pt", "it is cut off or no ONNX file"),
    ],
)
def test_an_onnx_file_that_is_not_what_the_recipe_says_is_refused(
    own: Path, films: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], old: str, new: str, sentence: str
) -> None:
    for name in ("own_model.onnx", "own_model.pt", "own.words.toml"):
        shutil.copy(own / name, tmp_path / name)
    text = (own / "own-onnx.toml").read_text()
    assert old in text
    (tmp_path / "own-onnx.toml").write_text(text.replace(old, new))
    assert run(tmp_path / "own-onnx.toml", films, tmp_path / "out", "calibrate") == 1
    assert sentence in capfd.readouterr().err
