"""A runtime of another package is one module: its files, its settings and its readings need no other change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_app.cli.command_line import main
from firmware_app.packs.runtimes import registry
from tests import films, made_runtime, reading_rig

MODULE = """
from pathlib import Path
from pydantic import Field
from firmware_app.packs.runtimes.interface import Probe, RuntimeConfig

key = "toy"
suffixes = (".onnx",)

class Config(RuntimeConfig):
    "Settings of the toy runtime."
    pool: int = Field(1, ge=1, title="Pool", description="side of the squares that are averaged")

class Session:
    def __init__(self, pool):
        self.pool = pool

    def infer(self, inputs):
        film, side = inputs["image"], self.pool
        rows, columns = film.shape[2] // side, film.shape[3] // side
        squares = film.reshape(1, 1, rows, side, columns, side)
        return {"map": squares.mean(axis=(3, 5), dtype="float64").astype("float32") * (side == 8)}

def probe():
    return Probe(True, "1.0", "here")

def load(path, config=None):
    assert Path(path).suffix in suffixes
    return Session((config or Config()).pool)
"""


@pytest.fixture(autouse=True)
def _toy_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    made_runtime.install(tmp_path / "site", monkeypatch, {"toy": ""})
    (tmp_path / "site" / "made_toy.py").write_text(MODULE)
    yield
    registry.list_runtimes.cache_clear()


@pytest.mark.parametrize(("section", "runtime"), [("[runtimes.toy]\npool = 8\n", "toy"), ("", None)])
def test_a_runtime_of_another_package_reads_a_pack_with_its_own_setting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], section: str, runtime: str | None
) -> None:
    """Without its setting it answers the pack's golden image wrongly, so the setting is what makes it read."""
    made_runtime.pack(tmp_path / "packs", (registry.DEFAULT,))  # the file of another runtime, which it reads as well
    films.save(tmp_path, "film.dcm", reading_rig.tiny_film(1))
    toml = tmp_path / "lantern.toml"
    toml.write_text(
        f'[box]\nusual_population = "adult"\n[packs]\ndir = "{tmp_path / "packs"}"\n'
        f'[reader]\nruntimes = ["toy"]\n{section}'
    )
    main(["read", str(tmp_path / "film.dcm"), "--json", "--config", str(toml)])
    (reading,) = json.loads(capsys.readouterr().out.splitlines()[0])["readings"]
    assert (reading["pack"] and reading["pack"]["runtime"]) == runtime
    assert main(["config", "show", "--config", str(toml)]) == 0
    assert f"pool = {8 if section else 1}    # Pool: side of the squares" in capsys.readouterr().out
