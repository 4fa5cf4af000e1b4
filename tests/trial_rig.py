"""A box on which version 1.1.0 of a toy pack is on trial beside 1.0.0, and a reader that is driven by hand."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from converters.publishing import repository, tuf_keys
from firmware_app.cases.pack_changes import PackTrial, PackTrials
from firmware_app.core.records import Instance
from firmware_app.core.settings import Config
from firmware_app.packs import installer
from firmware_app.packs.installer import InstallRequest, PackChange
from firmware_app.packs.pack_store import PackStore
from firmware_app.reading.reader import Reader
from tests import made_runtime, reading_rig
from tests.publishing_rig import NAME, write_checksums
from tests.reading_rig import Rig

OLD, NEW = "1.0.0", "1.1.0"


@dataclass
class TrialBox:
    """The box with its publisher; `flag` is a file that the fresh version's runtime looks for."""

    rig: Rig
    store: PackStore
    folder: Path
    flag: Path

    @classmethod
    def from_rig(cls, rig: Rig, folder: Path, flag: Path) -> TrialBox:
        made = cls(rig, PackStore.from_config(rig.config), folder, flag)
        tuf_keys.make(folder / "keys")
        return made

    def publish(self, version: str, runtime: str, **changes: object) -> None:
        """Sign a version whose file is for *runtime*."""
        made = made_runtime.pack(self.folder / version, (runtime,), version=version, **changes)
        write_checksums(made)
        repository.publish(made, self.folder / "repository", self.folder / "keys", 30)

    def install(self, *, trial: bool = True) -> PackChange:
        wish = InstallRequest(NAME, str(self.folder / "repository"), None, self.folder / "keys" / "root.json", trial)
        return installer.install_pack(self.store, wish, lambda _done, _total: None, lambda _pack: None)

    def film(self, number: int) -> Instance:
        return self.rig.admit(reading_rig.tiny_film(number))

    def trial(self) -> PackTrial:
        """The last trial."""
        found = PackTrials(self.rig.clinical.database).find_trial(NAME)
        assert found is not None
        return found

    def serving(self) -> str:
        return self.store.find(NAME).manifest.version

    def readings(self) -> dict[str, str]:
        """Instance → the version that read it."""
        rows = self.rig.clinical.database.connection.execute("SELECT key, body FROM readings").fetchall()
        return {row["key"]: json.loads(row["body"])["pack"]["version"] for row in rows}


def config(folder: Path, images: int = 3, **reader: object) -> Config:
    """With trials of so many *images*; no pack is shipped."""
    (folder / "shipped").mkdir(exist_ok=True)
    plain = reading_rig.config(folder, folder / "shipped", **reader)
    packs = {**plain.packs.model_dump(), "trial_images": images}
    return Config.model_validate({**plain.model_dump(), "packs": packs})


@contextmanager
def box(
    folder: Path, monkeypatch: pytest.MonkeyPatch, body: str, *, images: int = 3, **reader: object
) -> Iterator[TrialBox]:
    """1.0.0 serves on ONNX Runtime, and 1.1.0 is on trial on a runtime that does *body*.

    In it {flag} is a file, and {golden} the mean of the golden case's input.
    """
    flag = folder / "flag"
    golden = float(made_runtime.golden_input()[1].mean())
    made_runtime.install(folder / "site", monkeypatch, {"made": body.format(flag=str(flag), golden=golden)})
    with reading_rig.rig(config(folder, images, **reader)) as rig:
        made = TrialBox.from_rig(rig, folder, flag)
        made.publish(OLD, "onnxruntime")
        made.install()
        made.publish(NEW, "made")
        assert made.install().on_trial == NEW
        yield made


@contextmanager
def open_reader(of: TrialBox) -> Iterator[Reader]:
    """The reader of a box, in this process."""
    made = Reader(of.rig.config, of.rig.state, of.rig.clinical, stop=threading.Event())
    try:
        made.warm()
        yield made
    finally:
        made.close()


def run_reader(made: Reader, until: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Let the reader work as its process does until *until*; True once another version serves."""
    assert made.trials is not None
    restart = False

    def look() -> bool:
        nonlocal restart
        while made.step():
            pass
        assert made.trials is not None
        restart = restart or made.trials.advance()
        return restart or until()

    reading_rig.wait_until(look, seconds)
    return restart
