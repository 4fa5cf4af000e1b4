"""When the encrypted disk of a flashed box is formatted, opened, or left alone; a factory reset ends its keys.

That a chip opens it is `make test-image`'s to show: this needs the kernel's device mapper.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from firmware_app.appliance import state_volume
from firmware_app.appliance.state_volume import NAME, LuksHeader, VolumePaths, choose_step
from tests.peers import peer


def test_a_disk_that_was_never_ready_is_formatted_and_one_that_was_never_again() -> None:
    ready = LuksHeader(NAME, frozenset({"1"}))
    assert choose_step(None, made=False) == "format"
    assert choose_step(LuksHeader("", frozenset({"0"})), made=False) == "format", "the power went while it was made"
    assert choose_step(ready, made=False) == "open", "the partition beside it was lost"
    assert choose_step(ready, made=True) == "open"
    assert choose_step(LuksHeader(NAME), made=True) == "format", "its keys were erased"
    assert choose_step(None, made=True) == "stop", (
        "a header that is gone is no reason to write a new one over what is left"
    )


def test_a_factory_reset_ends_every_key_and_the_next_start_makes_a_new_disk(tmp_path: Path) -> None:
    places = _make_volume(tmp_path)
    before = state_volume._read_header(places)
    assert before is not None
    assert choose_step(before, made=True) == "open"
    state_volume.erase_volume_keys(places)
    after = state_volume._read_header(places)
    assert after is not None
    assert not after.keys
    assert choose_step(after, made=places.made.exists()) == "format"
    assert sorted(path.name for path in places.config.iterdir()) == ["reset"]


def test_a_key_file_that_a_power_cut_left_behind_goes_without_a_word_from_the_disk(tmp_path: Path) -> None:
    """Its slot was ended before: the chip alone opens the disk, and goes on doing so."""
    places = _make_volume(tmp_path)
    other = tmp_path / "other"
    other.write_bytes(bytes(64))
    other.chmod(0o400)
    cryptsetup = peer("cryptsetup")
    subprocess.run(
        [cryptsetup, "luksAddKey", *state_volume._LITTLE_WORK, f"--key-file={places.key}", places.device, other],
        check=True,
        capture_output=True,
    )
    subprocess.run([cryptsetup, "luksRemoveKey", "--batch-mode", places.device, places.key], check=True)
    state_volume._remove_plain_key(places)
    assert not places.key.exists()
    header = state_volume._read_header(places)
    assert header is not None
    assert header.keys == {"1"}


def _make_volume(folder: Path) -> VolumePaths:
    """A volume that is ready, in a file."""
    places = VolumePaths(folder / "disk.img", folder / "config")
    places.config.mkdir()
    with places.device.open("wb") as made:
        made.truncate(32 << 20)
    places.key.write_bytes(bytes(range(64)))
    places.recovery.write_text("abcd")
    places.made.touch()
    cryptsetup = peer("cryptsetup")
    for words in (
        ["luksFormat", "--batch-mode", "--type=luks2", *state_volume._LITTLE_WORK, f"--key-file={places.key}"],
        ["config", f"--label={NAME}"],
    ):
        subprocess.run([cryptsetup, *words, places.device], check=True, capture_output=True)
    return places
