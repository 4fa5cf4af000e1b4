"""`make deb`: the box as a Debian package, out of the folder that `make wheels` has filled.

    python -m firmware_app.installation.debian_package build/wheels --out build

/usr/lib/lantern-box/            what `make install WHEELS=` needs: the installer, the wheels, constraints.txt
/usr/lib/systemd, udev, …        units, users, rules, as dpkg's own files
/opt/lantern                     the programs: postinst makes them of the wheels, by the code of `make install`

The package comes out the same from the same wheels: its times are SOURCE_DATE_EPOCH's.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Final

from firmware_app.errors import InstallSourceMissing
from firmware_app.installation.ground import PROGRAMS
from firmware_app.installation.kind import MachineKind
from firmware_app.installation.machine import PREFIX, VENV
from firmware_app.installation.setting_up import AVAHI, files_of, of_package
from firmware_app.language import N_, translate

NAME: Final = "lantern-box"
_MAINTAINER: Final = "Lantern <maintainers@lantern.invalid>"
_OWN: Final = Path("usr/lib/lantern-box")
_DOC: Final = Path("usr/share/doc/lantern-box")
_SCRIPTS: Final = ("config", "postinst", "prerm", "postrm")
_NGINX: Final = Path("usr/lib/systemd/system/nginx.service.d/lantern-box.conf")
_PACKAGED_ALREADY: Final = shutil.ignore_patterns("debian", "hospital", "image", "packages.sh")
_MODELS: Final = "firmware_app/_models/"
_CONTROL: Final = """\
Package: {name}
Version: {version}
Architecture: {architecture}
Maintainer: {maintainer}
Installed-Size: {kilobytes}
Depends: python3 (>= {python}), python3 (<< {next_python}), debconf (>= 0.5) | debconf-2.0, systemd, udev, {programs}
Section: science
Priority: optional
Description: box that reads X-rays and ultrasound in a grassroots clinic
 Lantern takes images over DICOM or from a USB stick, loses none in a power
 cut, reads them with small models on the processor, and shows the doctor in
 a browser where a model looked and how sure it is, or that it cannot judge.
 .
 It is not a medical device and not for diagnostic use without a doctor.
"""
_REMOVE = N_("Remove all images and readings of patients?")
_REMOVE_MORE = N_(
    "/var/lib/lantern holds the images of patients, their readings, the accounts and the keys of this box. Nothing "
    "brings them back. Without your consent they stay where they are."
)


def write(wheels: Path, source: Path, out: Path, made: datetime) -> Path:
    """Write the package of the unpacked Lantern in *source* into *out*, with the times *made*."""
    kind = MachineKind.of(wheels)
    if kind is None:
        raise InstallSourceMissing(path=str(wheels / "made-for.json"))
    [ours] = wheels.glob("lantern_box-*.whl")
    version = _version(ours.name.split("-")[1], made)
    architecture = _said("dpkg", "--print-architecture")
    place = out / f"{NAME}_{version}_{architecture}.deb"
    with tempfile.TemporaryDirectory(prefix="lantern-deb-", dir=out) as temporary:
        root = Path(temporary) / "root"
        _fill(root, wheels, source)
        _document(root, wheels, source, version, made)
        control = root / "DEBIAN"
        control.mkdir()
        payload = sorted(path for path in root.rglob("*") if path.is_file())
        major, minor = (int(part) for part in kind.python.split("."))
        _put(control / "control", _CONTROL.format(
            name=NAME, version=version, architecture=architecture, maintainer=_MAINTAINER, python=kind.python,
            kilobytes=sum(-(-path.stat().st_size // 1024) for path in payload),
            next_python=f"{major}.{minor + 1}", programs=", ".join(sorted(PROGRAMS.values())),
        ))  # fmt: skip
        _put(control / "md5sums", "".join(
            f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  {path.relative_to(root)}\n"
            for path in payload
        ))  # fmt: skip
        _put(control / "conffiles", f"/{AVAHI}\n")
        _put(control / "templates", "".join(_template()))
        for script in _SCRIPTS:
            _put(control / script, (source / "systemd/debian" / script).read_text("utf-8"), 0o755)
        for folder in (path for path in (root, *root.rglob("*")) if path.is_dir()):
            folder.chmod(0o755)
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", str(root), str(place)],
            check=True, stdout=subprocess.DEVNULL, env={**os.environ, "SOURCE_DATE_EPOCH": str(int(made.timestamp()))},
        )  # fmt: skip
    return place


def _fill(root: Path, wheels: Path, source: Path) -> None:
    for path, content in files_of(source).items():
        if not path.is_relative_to(PREFIX):  # those are postinst's to put there
            _put(root / of_package(path), content)
    _put(root / _NGINX, (source / "systemd/debian/nginx.service.conf").read_bytes())
    command = root / "usr/bin/lantern"
    command.parent.mkdir(parents=True)
    command.symlink_to(f"/{VENV}/bin/lantern")
    shutil.copytree(source / "systemd", root / _OWN / "systemd", ignore=_PACKAGED_ALREADY, copy_function=_copy)
    [ours] = wheels.glob("lantern_box-*.whl")
    with zipfile.ZipFile(ours) as packed:  # the installer of this very wheel
        for name in packed.namelist():
            if name.startswith("firmware_app/") and not name.startswith(_MODELS):
                _put(root / _OWN / name, packed.read(name))
    _put(root / _OWN / "constraints.txt", (source / "constraints.txt").read_bytes())
    for wheel in sorted(wheels.glob("*.whl")):
        (root / _OWN / "wheels").mkdir(exist_ok=True)
        _copy(str(wheel), str(root / _OWN / "wheels" / wheel.name))


def _document(root: Path, wheels: Path, source: Path, version: str, made: datetime) -> None:
    _put(root / _DOC / "copyright", (source / "systemd/debian/copyright").read_bytes())
    for bill in wheels.glob("lantern_box-*.cdx.json"):
        _put(root / _DOC / "sbom.cdx.json", bill.read_bytes())
    said = f"{NAME} ({version}) unstable; urgency=medium\n\n  * See CHANGELOG.md of the source.\n\n"
    said += f" -- {_MAINTAINER}  {format_datetime(made)}\n"
    _put(root / _DOC / "changelog.gz", gzip.compress(said.encode(), mtime=0))


def _template() -> Iterator[str]:
    """The question of debconf that postrm asks, in both languages: debconf-devel(7)."""
    yield "Template: lantern-box/remove-state\nType: boolean\nDefault: false\n"
    for suffix, language in (("", "en"), ("-zh_CN.UTF-8", "zh_CN")):
        yield f"Description{suffix}: {translate(_REMOVE, language)}\n {translate(_REMOVE_MORE, language)}\n"


def _version(wheel: str, made: datetime) -> str:
    """Of a wheel's ``0.2.0+gCOMMIT``, with the commit's time: apt takes the later of two commits for the newer one."""
    number, _, commit = wheel.partition("+")
    return f"{number}+{made:%Y%m%d%H%M%S}" + (f".{commit}" if commit else "")


def _put(place: Path, content: str | bytes, mode: int = 0o644) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content.encode() if isinstance(content, str) else content)
    place.chmod(mode)


def _copy(source: str, target: str) -> str:
    _put(Path(target), Path(source).read_bytes())
    return target


def _said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m firmware_app.installation.debian_package")
    parser.add_argument("wheels", type=Path, help="as `make wheels` filled it")
    parser.add_argument("--source", type=Path, default=Path(), help="the unpacked Lantern")
    parser.add_argument("--out", type=Path, default=Path("build"))
    options = parser.parse_args(arguments)
    made = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), UTC)
    print(write(options.wheels, options.source.resolve(), options.out, made))
    return 0


if __name__ == "__main__":
    sys.exit(main())
