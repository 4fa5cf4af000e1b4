"""What libraries log and warn of stands in a file of its own, not between the lines of the steps."""

import logging
import os
import sys
import warnings
from pathlib import Path

import pytest

from converters import cli


def test_a_librarys_warnings_are_kept_apart(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "libraries.log"
    with cli.libraries_apart(path), warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.getLogger("torchao").warning("skipping import of cpp extensions")
        warnings.warn("this will be removed", stacklevel=1)
        os.write(2, b"oneDNN custom operations are on\n")
        print("train: not done yet", file=sys.stderr)
    assert capfd.readouterr().err == "train: not done yet\n"
    kept = path.read_text(encoding="utf-8")
    assert "torchao WARNING skipping import of cpp extensions" in kept
    assert "this will be removed" in kept
    assert "oneDNN custom operations are on" in kept
