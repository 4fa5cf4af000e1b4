"""A pack's list of sums, read by `sha256sum`."""

import subprocess
from pathlib import Path

import pytest

from converters import cli
from converters.packing import card
from firmware_app.packs import pack_folder
from tests import toy_pack


@pytest.mark.parametrize(
    "command",
    [["card", "--words", "converters/recipes/chest-xray-child.words.toml"], ["golden", "--update-references"]],
)
def test_a_pack_whose_words_or_references_change_keeps_sums_that_hold(tmp_path: Path, command: list[str]) -> None:
    folder = toy_pack.write(tmp_path, "toy", "adult", 18, None)
    assert cli.main(["card", str(folder)]) == 0
    assert not (folder / pack_folder.SUMS_FILE).exists()  # a pack that was never finished does not look finished
    pack_folder.write_sums(folder)
    before = (folder / pack_folder.SUMS_FILE).read_bytes()
    (folder / card.NAME).write_text("an older card")
    assert cli.main([command[0], str(folder), *command[1:]]) == 0
    assert (folder / pack_folder.SUMS_FILE).read_bytes() != before or command[0] == "golden"
    done = subprocess.run(
        ["sha256sum", "--check", "--quiet", pack_folder.SUMS_FILE], cwd=folder, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout
