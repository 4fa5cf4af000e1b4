"""A publisher's keys and repository: signed by the right keys, and never half-written."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from converters.failures import AlreadyPublished, OutputUnwritable, PublisherKeysUnusable, RepositoryUnusable
from converters.packing import publisher, repository
from tests.faults.loopfs import loop_file_system
from tests.publishing_rig import NAME, World, fill, pack

ROOT = Path(__file__).parents[2]


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.publish("1.0.0")
    return made


def test_keys_are_for_their_owner_only_and_are_never_written_over(world: World) -> None:
    keys = list(world.keys.rglob("*.pem"))
    assert len(keys) == 4
    assert {key.stat().st_mode & 0o777 for key in keys} == {0o600}
    before = {key: key.read_bytes() for key in keys}
    with pytest.raises(PublisherKeysUnusable, match="never written over"):
        publisher.make(world.keys)
    assert {key: key.read_bytes() for key in keys} == before


def test_publishing_needs_no_root_key(world: World) -> None:
    shutil.rmtree(world.keys / publisher.ROOT_KEY.parent)
    world.publish("1.1.0")
    assert world.install(root=world.root).pack.manifest.version == "1.1.0"


def test_keys_with_a_passphrase_sign_only_with_it(tmp_path: Path) -> None:
    publisher.make(tmp_path / "keys", b"a long secret")
    made, place = pack(tmp_path, "1.0.0"), tmp_path / "repository"
    for wrong in (None, b"another secret"):
        with pytest.raises(PublisherKeysUnusable):
            repository.publish(made, place, tmp_path / "keys", passphrase=wrong)
    assert not (place / "metadata" / "timestamp.json").exists()
    assert len(repository.publish(made, place, tmp_path / "keys", passphrase=b"a long secret").index.packs) == 1


def test_the_keys_of_another_publisher_add_nothing(world: World, tmp_path: Path) -> None:
    publisher.make(tmp_path / "other")
    before = snapshot(world.repository)
    with pytest.raises(PublisherKeysUnusable, match="names another key"):
        repository.publish(pack(tmp_path, "1.1.0"), world.repository, tmp_path / "other")
    assert snapshot(world.repository) == before


def test_a_version_that_is_out_never_changes(world: World, tmp_path: Path) -> None:
    before = snapshot(world.repository)
    with pytest.raises(AlreadyPublished):
        repository.publish(pack(tmp_path, "1.0.0", ballast=9), world.repository, world.keys)
    assert snapshot(world.repository) == before
    again = repository.publish(world.folder / "made" / "1.0.0" / NAME, world.repository, world.keys)
    assert len(again.index.packs) == 1


def test_a_damaged_repository_is_not_added_to(world: World, tmp_path: Path) -> None:
    path = world.target("index.json")
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(RepositoryUnusable, match="changed after it was signed"):
        repository.publish(pack(tmp_path, "1.1.0"), world.repository, world.keys)


KILLED = """
import os, sys
from pathlib import Path
from converters import outputs, repository
left, replace = int(sys.argv[1]), Path.replace
def dying(self, target):
    global left
    if left == 0:
        os._exit(9)
    left -= 1
    return replace(self, target)
Path.replace = dying
repository.publish(*map(Path, sys.argv[2:5]))
"""


def test_a_publication_that_is_killed_before_any_of_its_files_is_named_leaves_the_old_state(world: World) -> None:
    made = pack(world.folder / "made", "1.1.0")
    world.install(root=world.root)
    for left in range(99):
        arguments = [str(left), str(made), str(world.repository), str(world.keys)]
        done = subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False, cwd=ROOT)
        if done.returncode == 0:
            break
        assert done.returncode == 9
        assert world.install().before == "1.0.0"
        assert world.versions() == ["1.0.0"]
    assert left == 9  # four files of the pack, index, targets, snapshot, root, timestamp, the last
    assert world.install().pack.manifest.version == "1.1.0"


def test_a_publication_onto_a_full_stick_leaves_the_old_state(world: World, tmp_path: Path) -> None:
    world.install(root=world.root)
    made = pack(world.folder / "made", "1.1.0", ballast=1 << 20)
    with loop_file_system(tmp_path, megabytes=32) as disk:
        world.repository = shutil.copytree(world.repository, disk.mount / "repository")
        fill(disk.mount, 100)
        with pytest.raises(OutputUnwritable):
            repository.publish(made, world.repository, world.keys)
        assert world.install().before == "1.0.0"
        disk.free()
        repository.publish(made, world.repository, world.keys)
        assert world.install().pack.manifest.version == "1.1.0"


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
