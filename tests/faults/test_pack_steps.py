"""However a change of packs is cut off, the old version serves or the new one, and it can be made again."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_app.packs import installer
from firmware_app.packs.pack_store import PackStore
from tests.faults import pack_steps
from tests.faults.loopfs import loop_file_system
from tests.publishing_rig import NAME, PackPublisher

BEFORE: dict[str, Callable[[PackPublisher], object]] = {
    "install": lambda _world: None,
    "commit": lambda world: world.install(trial=True),
    "drop": lambda world: world.install(trial=True),
    "rollback": lambda world: (world.install(trial=True), installer.commit_trial(world.store, NAME)),
}
AFTER = {  # verb -> (in use, on trial), before and after
    "install": (("1.0.0", None), ("1.0.0", "1.1.0")),
    "commit": (("1.0.0", "1.1.0"), ("1.1.0", None)),
    "drop": (("1.0.0", "1.1.0"), ("1.0.0", None)),
    "rollback": (("1.1.0", None), ("1.0.0", None)),
}

BETWEEN = ("1.1.0", "1.1.0")
"""After the link in use was changed and before the trial has ended."""


@pytest.fixture
def world(tmp_path: Path) -> PackPublisher:
    made = PackPublisher(tmp_path / "world")
    made.publish("1.0.0")
    made.install(root=made.root)
    made.publish("1.1.0")
    return made


def serves(store: PackStore) -> tuple[str, str | None]:
    """The whole version in use and the whole version on trial."""
    used = store.find(NAME)
    installer.verify_pack(used, store)
    on_trial = store.find_trial_version(NAME)
    if on_trial is not None:
        (kept,) = [version for version in store.versions(NAME) if version.manifest.version == on_trial]
        installer.verify_pack(kept, store)
    return used.manifest.version, on_trial


def again(world: PackPublisher, verb: str) -> None:
    """What the next start, or the same person, does after the cut."""
    if verb == "install":
        world.install(trial=True)
    elif verb == "rollback" and serves(world.store)[0] == "1.1.0":
        installer.roll_back(world.store, NAME)
    elif verb in ("commit", "drop") and world.store.find_trial_version(NAME) is not None:
        (installer.commit_trial if verb == "commit" else installer.drop_trial)(world.store, NAME)


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("verb", list(AFTER))
def test_a_kill_at_every_step_leaves_the_old_version_or_the_new_one(
    world: PackPublisher, tmp_path: Path, verb: str, every: int
) -> None:
    BEFORE[verb](world)
    spare, steps, seen = tmp_path / "spare", 1 - every, set()
    shutil.copytree(world.folder, spare, symlinks=True)
    while True:
        steps += every
        shutil.rmtree(world.folder)
        shutil.copytree(spare, world.folder, symlinks=True)
        if not pack_steps.kill_at_step(world.folder, verb, steps):
            break
        seen.add(serves(world.store))
        assert seen <= {*AFTER[verb], BETWEEN}, steps
        again(world, verb)
        assert serves(world.store) == AFTER[verb][1], steps
    assert steps > 5
    assert seen >= {AFTER[verb][0]}


@pytest.mark.parametrize("verb", list(AFTER))
def test_a_power_cut_in_the_middle_leaves_the_old_version_or_the_new_one(
    world: PackPublisher, tmp_path: Path, verb: str
) -> None:
    BEFORE[verb](world)
    with loop_file_system(tmp_path, megabytes=32) as disk:
        folder = disk.mount / "world"
        for step in (1, 3, 5, 7, 9, 11, 14, 17, 20, 24, 28, 33, 38, 44):
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(world.folder, folder, symlinks=True)
            subprocess.run(["sync", "--file-system", str(disk.mount)], check=True)
            child = pack_steps.stop_at_step(folder, verb, step)
            if child is None:
                break
            disk.cut_power()
            pack_steps.end(child)
            disk.restore_power()
            store = PackStore(folder / "state" / "packs", folder / "shipped")
            assert serves(store) in {*AFTER[verb], BETWEEN}, step
