"""What a test needs from the machine: Debian peers, real data outside the repository, root.

A missing thing skips the test and says what would bring it.  Where nothing may be missing, as in continuous
integration, LANTERN_REQUIRE_PEERS=1 turns every such skip into a failure.  What there is to install is one list,
`.ci/packages.txt`.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Final, NoReturn

import pydicom
import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

# pynetdicom installs tools of its own under dcmtk's names; in an activated environment they would come first.
_FOLDERS = [folder for folder in os.environ.get("PATH", "").split(os.pathsep) if folder != str(Path(sys.prefix, "bin"))]
_PATH = os.pathsep.join((*_FOLDERS, "/usr/sbin", "/sbin"))
_LIST = REPOSITORY / ".ci/packages.txt"
_SUFFIXES_BESIDE_DICOM = {".py", ".pyc", ".txt", ".json", ".icc", ".gz", ".dump", ".md"}


def skip_or_fail(reason: str) -> NoReturn:
    """Skip with *reason*, or fail where everything is required."""
    if os.environ.get("LANTERN_REQUIRE_PEERS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def read_package_list() -> dict[str, tuple[str, ...]]:
    """Each package of the list, under its name in Debian 12, with its programs; renamed ones are "this or that"."""
    lines = (line.split(":") for line in _LIST.read_text("utf-8").splitlines() if line and line[0] != "#")
    return {name.replace("|", " or "): tuple(programs.split()) for name, programs in lines}


def find(program: str) -> str | None:
    """The path of *program*, one of the list's."""
    assert program in _PACKAGES, f"no package of {_LIST.name} brings {program}"
    return shutil.which(program, path=_PATH)


def lacking(*programs: str) -> list[str]:
    """The packages that would bring what is missing of *programs*."""
    return sorted({_PACKAGES[program] for program in programs if find(program) is None})


def needed(*programs: str) -> None:
    """Skip, or where CI says so fail, when one of *programs* is missing."""
    if packages := lacking(*programs):
        skip_or_fail(f"needs Debian package {', '.join(packages)}")


def skip_missing_packages(*names: str) -> NoReturn:
    """Skip, or where CI says so fail, because what these packages of the list bring is not there."""
    packages = [package for package in read_package_list() if package.split()[0] in names]
    assert len(packages) == len(names), f"{_LIST.name} has not all of {names}"
    skip_or_fail(f"needs Debian package {', '.join(packages)}")


def peer(name: str) -> str:
    """The path of the program *name*."""
    needed(name)
    path = find(name)
    assert path is not None
    return path


_PACKAGES: Final = {program: package for package, programs in read_package_list().items() for program in programs}


def read_debian_release() -> str:
    """This machine's release of Debian or Ubuntu, as apt's lists call it."""
    return platform.freedesktop_os_release().get("VERSION_CODENAME") or skip_or_fail(
        "needs a release of Debian with a name"
    )


def need_root() -> None:
    if os.geteuid() != 0:
        skip_or_fail("needs root, to mount a file system of its own")


def find_shared_data(*parts: str) -> Path:
    """A folder of the real data that lies beside the repository and is no part of it."""
    root = Path(os.environ.get("LANTERN_SHARED") or REPOSITORY.parent / "shared")
    path = root.joinpath(*parts)
    if not path.exists():
        skip_or_fail(f"needs the real data in {'/'.join(('../shared', *parts))} (or LANTERN_SHARED)")
    return path


def dicom_files(folder: Path) -> list[Path]:
    """The files of *folder* that are meant to be DICOM, in a stable order."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in _SUFFIXES_BESIDE_DICOM and path.name != "README"
    )


def pydicom_files() -> list[Path]:
    """pydicom's own test files: from old machines, broken writers and every encoding."""
    data = Path(pydicom.__file__).parent / "data"
    return [*dicom_files(data / "test_files"), *dicom_files(data / "charset_files")]


def pydicom_file(name: str) -> Path:
    return Path(pydicom.__file__).parent / "data" / "test_files" / name
