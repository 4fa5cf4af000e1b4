"""What the box feeds a network is what it was trained on, or the gate says what that costs."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from converters import cli
from tests.converters.conftest import WORDS

SIDE = 64
CODE = '''
import numpy as np
from PIL import Image
from torch import nn

class Brightness(nn.Module):
    """Positive films are the bright ones: a network that knows nothing but x / 255."""
    def forward(self, x):
        return 40.0 * (x.mean(dim=(1, 2, 3))[:, None] - 0.4)

def network():
    return Brightness()

def score(path):
    with Image.open(path) as film:
        return float(np.asarray(film, dtype=np.float32).mean() / 255.0)
'''
RECIPE = """
pack = "bright"
version = "0.0.1"
describe = "words.toml"
data = {{ reader = "folder", positive = "disc" }}
input = {{ size = 64, greys = "{greys}" }}
net = {{ build = "own_brightness:network", random = true }}
reference = {{ {reference} }}
gate = {{ auc_at_least = 0.0 }}
"""


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 films of noise, half of them 60 greys brighter: after a stretch between percentiles they are all alike."""
    folder, rng = tmp_path_factory.mktemp("brightness"), np.random.default_rng(5)
    for name, lift in (("clear", 0), ("disc", 60)):
        (folder / name).mkdir()
        for number in range(20):
            grey = np.clip(rng.normal(90.0 + lift, 15.0, (SIDE, SIDE)), 0, 255).astype(np.uint8)
            Image.fromarray(grey).save(folder / name / f"{name}{number}.png")
    return folder


def run_calibration(folder: Path, films: Path, greys: str, reference: str) -> int:
    (folder / "words.toml").write_text(WORDS, encoding="utf-8")
    (folder / "own_brightness.py").write_text(CODE)
    (folder / "bright.toml").write_text(RECIPE.format(greys=greys, reference=reference))
    command = ["calibrate", str(folder / "bright.toml"), "--data", str(films), "--out", str(folder / "out")]
    return cli.main(command)


def test_input_that_costs_more_than_the_gate_allows_is_refused(
    films: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    function = 'function = "own_brightness:score"'
    assert run_calibration(tmp_path, films, "percentiles", function) == 1
    said = capfd.readouterr().err
    assert "the reference's AUC at home is 1.0000" in said
    assert "greys" in said
    assert run_calibration(tmp_path, films, "full", function) == 0
    told = json.loads((tmp_path / "out" / "work" / "bright" / "calibrate.json").read_text())["results"]["reference"]
    assert told["outcome"] == "passed"
    assert (told["script"], told["change"]) == ("own_brightness:score", 0.0)


def test_scores_of_another_program_are_as_good_and_must_name_every_film(
    films: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    named = [f"disc{number}.png,{0.5 + number / 100}" for number in range(20)]
    named += [f"clear/clear{number}.png,{number / 100}" for number in range(20)]
    (tmp_path / "home.csv").write_text("\n".join(["file,score", *named]) + "\n")
    assert run_calibration(tmp_path, films, "full", 'scores = "home.csv"') == 0
    (tmp_path / "home.csv").write_text("\n".join(["file,score", *named[:5]]) + "\n")
    assert run_calibration(tmp_path, films, "full", 'scores = "home.csv"') == 1
    assert "films are not in it, the first is" in capfd.readouterr().err
