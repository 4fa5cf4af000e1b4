"""The programs: a virtual environment, completed beside the one in use before it takes its place.

PREFIX/programs/STAMP/    a virtual environment; STAMP is a digest of everything that goes into it
PREFIX/venv               a link to the one in use; the one before stays, for the day a person wants it back
PREFIX                    /opt/lantern of the box, /opt/lantern-hospital of the hospital
"""

from __future__ import annotations

import hashlib
import shutil
import struct
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firmware_app.appliance.errors import (
    INSTALL_PROGRAMS_FAILED,
    INSTALL_SOURCE_MISSING,
    InstallError,
    InstallStepFailed,
    InstallWheelDamaged,
    InstallWheelStale,
)
from firmware_app.appliance.installation.target_system import TargetSystem, run
from firmware_app.core.language import N_

PACKAGES: Final = ("firmware_app", "web", "converters", "hospital", "models")
_MODELS, _MODELS_PACKED = "models/", "firmware_app/_models/"
UNUSED: Final = ("converters", "pynetdicom/apps", "pynetdicom/benchmarks", "pynetdicom/tests")
"""What the wheels bring and no box runs: the engineer's converters, and pynetdicom's own programs and tests."""
_PROGRAMS: Final = "programs"
_WHOLE: Final = "lantern-whole"
# zipfile says of flipped bits also that the archive is encrypted or of a later version (RuntimeError), has no such
# letters (ValueError), or would be larger than memory.
_DAMAGED: Final = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, struct.error, MemoryError)
_MAKING = N_("Installing the programs into {path}. This takes some minutes …")
_DONE = N_("The programs of version {version} are installed.")


@dataclass(frozen=True)
class ProgramSource:
    """Where the programs come from."""

    tree: Path
    """The unpacked Lantern."""
    wheels: Path | None
    """A folder with all that is needed (`make wheels`), for a machine without internet."""
    extras: str
    as_given: bool = False
    """The folder holds the wanted wheels and no other: they are installed without asking what Lantern's wheel needs,
    which names the box's libraries too."""

    def compute_stamp(self) -> str:
        """A digest of the source: while it stays the same, nothing is installed again."""
        digest = hashlib.sha256(f"{sys.version_info[:2]} {self.extras}".encode())
        for path in self._list_parts():
            digest.update(f"\0{path.name}\0".encode())
            digest.update(path.read_bytes())
        return digest.hexdigest()[:12]

    def _list_parts(self) -> Iterator[Path]:
        if (given := self.find_wheel()) is not None:
            yield given
        else:
            for folder in PACKAGES:
                parts = (path for path in (self.tree / folder).rglob("*") if path.is_file())
                yield from sorted(path for path in parts if "__pycache__" not in path.parts)
            yield self.tree / "pyproject.toml"
        yield self.tree / "constraints.txt"

    def check(self) -> None:
        """Raises what is wrong with the files that were brought."""
        if not (self.tree / "constraints.txt").exists():
            raise INSTALL_SOURCE_MISSING(path="constraints.txt")
        self.find_wheel()

    def find_wheel(self) -> Path | None:
        """Our own wheel among the given ones, if it was made of this very tree: versions alone do not show that.

        Raises `InstallWheelStale` or `InstallWheelDamaged` when there are some, and none is.
        """
        wheels = sorted(self.wheels.glob("lantern_box-*.whl")) if self.wheels else []
        refused: list[InstallError] = []
        for path in wheels:
            try:
                different = self._find_difference(path)
            except InstallWheelDamaged as error:
                refused.append(error)
            else:
                if different is None:
                    return path
                refused.append(InstallWheelStale(wheel=path.name, path=different))
        if refused:
            raise refused[0]
        return None

    def _find_difference(self, wheel: Path) -> str | None:
        """The first of our files that differs between *wheel* and the tree, among the packages that the tree has."""
        there = [folder for folder in PACKAGES if (self.tree / folder).is_dir()]
        code = {str(path.relative_to(self.tree)) for folder in there for path in (self.tree / folder).rglob("*.py")}
        held = _read_wheel(wheel)
        for name in sorted(code | {one for one in held if one.partition("/")[0] in there}):
            place = self.tree / name
            if name not in held or not place.is_file() or place.read_bytes() != held[name]:
                return name
        return None

    def find_pip(self) -> Path | None:
        """pip among the given wheels: Debian leaves it out of Python until python3-venv is there."""
        wheels = sorted(self.wheels.glob("pip-*.whl")) if self.wheels else []
        return wheels[-1] if wheels else None


def _read_wheel(wheel: Path) -> dict[str, bytes]:
    """What *wheel* holds, by its place in the tree.  Raises `InstallWheelDamaged`."""
    try:
        with zipfile.ZipFile(wheel) as packed:
            # The models travel inside the package that looks for them (pyproject.toml).
            return {name.replace(_MODELS_PACKED, _MODELS, 1): packed.read(name) for name in packed.namelist()}
    except OSError as error:
        raise InstallWheelDamaged(wheel=wheel.name, detail=error.strerror or str(error)) from None
    except _DAMAGED as error:
        raise InstallWheelDamaged(wheel=wheel.name, detail=str(error) or "it ends too early") from None


def prepare_programs(machine: TargetSystem, source: ProgramSource) -> str:
    """Complete the programs of the checked *source* beside those in use; returns their STAMP.

    Raises `INSTALL_PROGRAMS_FAILED`; the programs in use stay as they are.
    """
    place = machine.prefix / _PROGRAMS / source.compute_stamp()
    if not machine.resolve(place / _WHOLE).exists():
        machine.print_change(_MAKING, path=f"/{place}")
        _make_venv(machine.resolve(place), source, "" if machine.is_running_system else str(machine.root))
    return place.name


def read_stamp_in_use(machine: TargetSystem) -> str:
    """The STAMP of the programs in use; empty where there are none."""
    place = machine.resolve(machine.venv)
    return place.readlink().name if place.is_symlink() else ""


def switch_programs(machine: TargetSystem, stamp: str) -> None:
    """Put prepared programs in use.  The units must follow at once: those of another version may not fit them."""
    machine.link(machine.venv, f"{_PROGRAMS}/{stamp}")


def finish(machine: TargetSystem, before: str) -> None:
    """After a switch from *before*: remove all older programs, which takes time, and say what is installed now."""
    for old in machine.resolve(machine.prefix / _PROGRAMS).iterdir():
        if old.name not in {read_stamp_in_use(machine), before}:
            shutil.rmtree(old)
    version = run(machine.resolve(machine.venv) / "bin/python", "-m", "firmware_app", "--version").strip()
    machine.print_change(_DONE, version=version.removeprefix("lantern "))


def _make_venv(place: Path, source: ProgramSource, root: str) -> None:
    shutil.rmtree(place, ignore_errors=True)  # one that was cut off
    TargetSystem().make_folder(place.parent)
    carried = source.find_pip()  # pip runs out of its own wheel, installed nowhere
    program: list[str | Path] = ["-m", "pip"] if carried is None else [carried / "pip"]
    pip: list[str | Path] = [place / "bin/python", *program, "--quiet", "--no-input", "--disable-pip-version-check"]
    where: list[str | Path] = ["--no-index", "--find-links", source.wheels] if source.wheels else []
    constraints = source.tree / "constraints.txt"
    try:
        with tempfile.TemporaryDirectory(prefix="lantern-wheel-") as built:
            run(sys.executable, "-m", "venv", *([] if carried is None else ["--without-pip"]), place)
            wheel = source.find_wheel()
            if wheel is None:
                run(
                    *pip,
                    "wheel",
                    "--no-deps",
                    *where,
                    "--wheel-dir",
                    built,
                    source.tree,
                    environment={"PIP_CONSTRAINT": str(constraints)},
                )
                [wheel] = Path(built).glob("lantern_box-*.whl")
            what = [f"lantern-box[{source.extras}] @ {wheel.resolve().as_uri()}" if source.extras else str(wheel)]
            if source.as_given and source.wheels:
                what = ["--no-deps", *(str(path) for path in source.wheels.glob("*.whl") if path != carried)]
            run(*pip, "install", "--root-user-action=ignore", "--constraint", constraints, *where, *what)
        for unused in (path for name in UNUSED for path in place.glob(f"lib/python*/site-packages/{name}")):
            shutil.rmtree(unused)
        (place / "bin/lantern-convert").unlink()
        run(place / "bin/python", "-m", "firmware_app", "--version")
    except InstallStepFailed as error:
        shutil.rmtree(place, ignore_errors=True)
        raise INSTALL_PROGRAMS_FAILED(detail=error.detail) from None
    if root:
        _relocate(place / "bin", root)
    run("sync", "--file-system", place)  # before the mark that says so; of the whole machine it could take minutes
    (place / _WHOLE).touch()


def _relocate(folder: Path, root: str) -> None:
    """Scripts name their interpreter by its whole path; in an image that is without the folder it is made in."""
    for path in folder.iterdir():
        if path.is_file() and not path.is_symlink():
            path.write_bytes(path.read_bytes().replace(root.encode(), b""))
