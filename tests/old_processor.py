"""An old processor for the programs of a test: without AVX-512, VNNI and AMX, as ``tests/old_processor.c`` has it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.peers import peer

SOURCE = Path(__file__).with_suffix(".c")
CANNOT_FAULT = 99
FEATURES = "from numpy._core._multiarray_umath import __cpu_features__ as found; print(found['AVX512VNNI'])"


def environment(folder: Path) -> dict[str, str]:
    """The environment in which programs see an old processor; skips with the reason where there can be none."""
    compiler = peer("cc")
    library = folder / "old_processor.so"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, SOURCE], check=True)
    found = {**os.environ, "LD_PRELOAD": str(library)}
    tried = subprocess.run([sys.executable, "-c", FEATURES], env=found, capture_output=True, text=True, check=False)
    if tried.returncode == CANNOT_FAULT:
        pytest.skip("this processor or kernel cannot let CPUID fault")
    assert tried.stdout.strip() == "False", tried.stderr
    return found
