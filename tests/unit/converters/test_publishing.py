"""A publisher's keys and repository: signed by the right keys, and never half-written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from converters.failures import AlreadyPublished, PublisherKeysUnusable, RepositoryUnusable
from converters.publishing import repository, tuf_keys
from tests.publishing_rig import NAME, PackPublisher, pack


@pytest.fixture
def world(tmp_path: Path) -> PackPublisher:
    made = PackPublisher(tmp_path)
    made.publish("1.0.0")
    return made


def test_keys_are_for_their_owner_only_and_are_never_written_over(world: PackPublisher) -> None:
    keys = list(world.keys.rglob("*.pem"))
    assert len(keys) == 4
    assert {key.stat().st_mode & 0o777 for key in keys} == {0o600}
    before = {key: key.read_bytes() for key in keys}
    with pytest.raises(PublisherKeysUnusable, match="never written over"):
        tuf_keys.make(world.keys)
    assert {key: key.read_bytes() for key in keys} == before


def test_publishing_needs_no_root_key(world: PackPublisher) -> None:
    shutil.rmtree(world.keys / tuf_keys.ROOT_KEY.parent)
    world.publish("1.1.0")
    assert world.install(root=world.root).pack.manifest.version == "1.1.0"


def test_keys_with_a_passphrase_sign_only_with_it(tmp_path: Path) -> None:
    tuf_keys.make(tmp_path / "keys", b"a long secret")
    made, place = pack(tmp_path, "1.0.0"), tmp_path / "repository"
    for wrong in (None, b"another secret"):
        with pytest.raises(PublisherKeysUnusable):
            repository.publish(made, place, tmp_path / "keys", passphrase=wrong)
    assert not (place / "metadata" / "timestamp.json").exists()
    assert len(repository.publish(made, place, tmp_path / "keys", passphrase=b"a long secret").index.packs) == 1


def test_the_keys_of_another_publisher_add_nothing(world: PackPublisher, tmp_path: Path) -> None:
    tuf_keys.make(tmp_path / "other")
    before = snapshot(world.repository)
    with pytest.raises(PublisherKeysUnusable, match="names another key"):
        repository.publish(pack(tmp_path, "1.1.0"), world.repository, tmp_path / "other")
    assert snapshot(world.repository) == before


def test_a_version_that_is_out_never_changes(world: PackPublisher, tmp_path: Path) -> None:
    before = snapshot(world.repository)
    with pytest.raises(AlreadyPublished):
        repository.publish(pack(tmp_path, "1.0.0", ballast=9), world.repository, world.keys)
    assert snapshot(world.repository) == before
    again = repository.publish(world.folder / "made" / "1.0.0" / NAME, world.repository, world.keys)
    assert len(again.index.packs) == 1


def test_a_damaged_repository_is_not_added_to(world: PackPublisher, tmp_path: Path) -> None:
    path = world.target("index.json")
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(RepositoryUnusable, match="changed after it was signed"):
        repository.publish(pack(tmp_path, "1.1.0"), world.repository, world.keys)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
