"""Gateways for tests: in this process, or as one that can be killed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from firmware_app.appliance.processes import gateway
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.ingest.intake import ImageIntake
from tests.peers import REPOSITORY


@dataclass
class Running:
    """A gateway that listens on 127.0.0.1:port, and what it keeps."""

    port: int
    state: StateDir
    clinical: ClinicalDatabase
    process: subprocess.Popen[str] | None = None

    def outcomes(self) -> list[tuple[str, str | None]]:
        """The journal: (outcome, code) in order of arrival."""
        rows = self.clinical.database.connection.execute(
            "SELECT outcome, code FROM arrivals ORDER BY sequence"
        ).fetchall()
        return [(row["outcome"], row["code"]) for row in rows]

    def files(self) -> list[Path]:
        """The kept images, each proven to be the bytes its name says and to have its row."""
        rows = self.clinical.database.connection.execute("SELECT file, sha256, bytes FROM instances").fetchall()
        kept = []
        for row in rows:
            path = self.state.root / row["file"]
            content = path.read_bytes()
            assert sha256(content).hexdigest() == row["sha256"] == path.stem
            assert len(content) == row["bytes"]
            kept.append(path)
        assert sorted(kept) == sorted(path for path in self.state.images.rglob("*") if path.is_file())
        return kept

    def incoming(self) -> list[Path]:
        return list(self.state.incoming.iterdir())


def configuration(root: Path, **sections: Mapping[str, Any]) -> Config:
    tree: dict[str, dict[str, Any]] = {
        "state": {"dir": str(root)},
        "retention": {"high_water_free_mb": 16},
        "dicom": {"host": "127.0.0.1", "port": 0},
    }
    for section, values in sections.items():
        tree.setdefault(section, {}).update(values)
    return Config.model_validate(tree)


@contextmanager
def running(root: Path, **sections: Mapping[str, Any]) -> Iterator[Running]:
    """A gateway in this process."""
    config = configuration(root, **sections)
    state = StateDir(config.state.dir)
    state.prepare()
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.create()
    door = ImageIntake(state, clinical, config.retention.high_water_free_mb, config.dicom.max_object_mb)
    port = gateway.make_dicom_server(config, door)
    number = port.start()
    try:
        yield Running(number, state, clinical)
    finally:
        port.stop()
        clinical.database.close()


@contextmanager
def process(root: Path, **sections: Mapping[str, Any]) -> Iterator[Running]:
    """A gateway in a process of its own, ended with SIGTERM unless the test has killed it."""
    config = configuration(root, **sections)
    command = [sys.executable, "-m", "tests.wire.gateway_process", config.model_dump_json()]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        announced = json.loads(child.stdout.readline())
        clinical = ClinicalDatabase(StateDir(config.state.dir).clinical_db)
        try:
            yield Running(int(announced["port"]), StateDir(config.state.dir), clinical, child)
        finally:
            clinical.database.close()
            child.terminate()
            child.wait(15)
