"""Settings for all tests: examples that hypothesis draws are the same in every run, unless LANTERN_EXPLORE=1.

Somebody vouches for the time of the test process, so that pages and rows look alike on every machine; the processes
that tests start go by what they find (tests/faults/test_clock.py).
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from hypothesis import settings
from jinja2.bccache import Bucket, BytecodeCache

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core import clock
from firmware_app.core.state_dir import StateDir
from firmware_app.ingest.intake import ImageIntake
from hospital.hospital_site import HospitalSite


class CompiledTemplates(BytecodeCache):
    """Templates compiled once in a process, not once for each application that a test makes."""

    def __init__(self) -> None:
        self._compiled: dict[tuple[str, str], bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if compiled := self._compiled.get((bucket.key, bucket.checksum)):
            bucket.bytecode_from_string(compiled)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._compiled[bucket.key, bucket.checksum] = bucket.bytecode_to_string()


Flask.jinja_options = {"bytecode_cache": CompiledTemplates()}
settings.register_profile("same", derandomize=True, max_examples=25)
settings.register_profile("explore", derandomize=False, max_examples=500)
settings.load_profile("explore" if os.environ.get("LANTERN_EXPLORE") == "1" else "same")


def pytest_configure() -> None:
    """A run in the background, or under nohup, ignores Ctrl-C or a lost line, and so would every command under test."""
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


@pytest.fixture(autouse=True)
def _vouched_for() -> None:
    """Before each test anew: one may have begun to keep time in a state directory, which nobody vouches for."""
    if not clock.stamp().trusted:
        clock.current_clock().learn(time.time(), clock.TimeSource.PERSON)


@pytest.fixture(autouse=True)
def _own_temporary_folder() -> Iterator[None]:
    """A process that receives images keeps temporary files in the state directory; the next test must not."""
    before = tempfile.tempdir
    yield
    tempfile.tempdir = before


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    """A state directory, prepared."""
    made = StateDir(tmp_path / "state")
    made.prepare()
    return made


@pytest.fixture
def clinical(state: StateDir) -> Iterator[ClinicalDatabase]:
    """The clinical database in *state*, with nothing in it."""
    made = ClinicalDatabase(state.clinical_db)
    made.create()
    yield made
    made.database.close()


@pytest.fixture
def door(state: StateDir, clinical: ClinicalDatabase) -> ImageIntake:
    """The one door of all images, for objects of up to 8 MB."""
    return ImageIntake(state, clinical, high_water_free_mb=16, max_object_mb=8)


@pytest.fixture
def at(tmp_path: Path) -> Path:
    """Where a file lies that is given to the box."""
    return tmp_path / "given"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> HospitalSite:
    """A hospital with its keys."""
    made = HospitalSite(tmp_path_factory.mktemp("hospital"))
    made.set_up("mqtt.hospital.example", 8883)
    return made


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Say how a worker of the parallel half ended, which pytest-xdist does not: below zero is the signal's number."""
    if error:
        try:
            status = str(node.gateway._io.popen.wait(20))
        except subprocess.TimeoutExpired:
            status = "nothing: it still runs, and only the line to it is lost"
        print(f"\nworker {node.gateway.id} ended with {status} ({error})", flush=True)
