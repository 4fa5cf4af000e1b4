"""On a processor without AVX-512 and VNNI every golden case is answered as on one that has them."""

import subprocess
import sys
from pathlib import Path

import pytest

from firmware_app.packs.pack_folder import list_packs, shipped_packs_dir
from tests import old_processor

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return old_processor.environment(tmp_path_factory.mktemp("old"))


@pytest.mark.parametrize("name", [pack.name for pack in list_packs(shipped_packs_dir())])
def test_every_golden_case_is_right_on_an_old_processor(environment: dict[str, str], name: str) -> None:
    command = [sys.executable, "-m", "converters.cli", "golden", str(shipped_packs_dir() / name)]
    done = subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
