"""What recipes and the Makefile train on is there, under the name by which they call it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from converters.recipe import load_pretraining
from tests.peers import REPOSITORY, find_shared_data

STARTS = sorted((REPOSITORY / "converters/pretraining").glob("*.toml"))


@pytest.mark.parametrize("plan", STARTS, ids=lambda path: path.stem)
def test_every_source_of_a_start_is_there(plan: Path) -> None:
    data = find_shared_data("data")
    assert [source.path for source in load_pretraining(plan).sources if not (data / source.path).is_dir()] == []


def test_every_folder_that_make_train_reads_is_there() -> None:
    data = find_shared_data("data")
    folders = re.findall(r"call FOLLOW,[\w-]+,([\w/-]+)\)", (REPOSITORY / "Makefile").read_text("utf-8"))
    assert len(folders) == 4
    assert [folder for folder in folders if not (data / folder).is_dir()] == []
