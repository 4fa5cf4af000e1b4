"""`make deb`: the box and the hospital as Debian packages, out of the folder that `make wheels` has filled.

    python -m systemd.build.debian_package build/wheels --out build

/usr/lib/NAME/                   what `make install WHEELS=` needs: the installer, the wheels, constraints.txt
/usr/lib/systemd, udev, …        units, users, rules, as dpkg's own files
/opt/lantern…                    the programs: postinst makes them of the wheels, by the code of `make install`

A package comes out the same from the same wheels: its times are SOURCE_DATE_EPOCH's.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import os
import re
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

from firmware_app.appliance.errors import INSTALL_SOURCE_MISSING
from firmware_app.appliance.installation.kind import Platform
from firmware_app.core.language import translate
from systemd.build.debian_contents import BY_NAME, Contents

ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
"""What `platform.machine()` calls a processor -> what Debian does."""
_MAINTAINER: Final = "Lantern <maintainers@lantern.invalid>"
_SCRIPTS: Final = ("config", "postinst", "prerm", "postrm")
_PACKAGED_ALREADY: Final = shutil.ignore_patterns(
    "build", "debian", "hospital", "image", "packages.sh", "*.py", "__pycache__"
)
_MODELS: Final = "firmware_app/_models/"
_OURS: Final = "lantern_box-*.whl"
_CONTROL: Final = """\
Package: {name}
Version: {version}
Architecture: {architecture}
Maintainer: {maintainer}
Installed-Size: {kilobytes}
Depends: python3 (>= {python}), python3 (<< {next_python}), debconf (>= 0.5) | debconf-2.0, systemd, {depends}
Recommends: {recommends}
Section: science
Priority: optional
"""


def write(contents: Contents, wheels: Path, source: Path, out: Path, made: datetime) -> Path:
    """Write the package of the unpacked Lantern in *source* into *out*, with the times *made*."""
    kind = Platform.from_folder(wheels)
    if kind is None:
        raise INSTALL_SOURCE_MISSING(path=str(wheels / "made-for.json"))
    [ours] = wheels.glob(_OURS)
    name, version = contents.name, _derive_version(ours.name.split("-")[1], made)
    architecture = ARCHITECTURES[kind.system.rpartition(" ")[2]]
    place = out / f"{name}_{version}_{architecture}.deb"
    with tempfile.TemporaryDirectory(prefix="lantern-deb-", dir=out) as temporary:
        root = Path(temporary) / "root"
        _fill(root, contents, wheels, source)
        _write_docs(root, contents, wheels, source=source, version=version, made=made)
        control = root / "DEBIAN"
        control.mkdir()
        payload = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
        major, minor = (int(part) for part in kind.python.split("."))
        _put(
            control / "control",
            _CONTROL.format(
                name=name,
                version=version,
                architecture=architecture,
                maintainer=_MAINTAINER,
                python=kind.python,
                kilobytes=sum(-(-path.stat().st_size // 1024) for path in payload),
                next_python=f"{major}.{minor + 1}",
                depends=", ".join(contents.depends),
                recommends=", ".join(contents.recommends),
            )
            + contents.description,
        )
        _put(
            control / "md5sums",
            "".join(
                f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  {path.relative_to(root)}\n"
                for path in payload
            ),
        )
        _put(control / "conffiles", "".join(f"/{path}\n" for path in contents.conffiles))
        _put(control / "templates", "".join(_format_template(contents)))
        for script in _SCRIPTS:
            _put(control / script, _fill_in((source / "systemd/debian" / script).read_text("utf-8"), contents), 0o755)
        for folder in (path for path in (root, *root.rglob("*")) if path.is_dir()):
            folder.chmod(0o755)
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", str(root), str(place)],
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "SOURCE_DATE_EPOCH": str(int(made.timestamp()))},
        )
    return place


def _fill(root: Path, contents: Contents, wheels: Path, source: Path) -> None:
    own = root / "usr/lib" / contents.name
    for path, content in contents.collect_files(source).items():
        _put(root / path, content)
    product = contents.product
    command = root / "usr/bin" / product.command.name
    command.parent.mkdir(parents=True, exist_ok=True)
    command.symlink_to(f"/{product.prefix}/venv/bin/{command.name}")
    # For postinst, which puts what lies below /opt there and takes over from a `make install` before.
    shutil.copytree(source / product.tree, own / product.tree, ignore=_PACKAGED_ALREADY, copy_function=_copy)
    [ours] = wheels.glob(_OURS)
    with zipfile.ZipFile(ours) as packed:  # the installer of this very wheel
        for name in packed.namelist():
            if name.startswith("firmware_app/") and not name.startswith(_MODELS):
                _put(own / name, packed.read(name))
    _put(own / "constraints.txt", (source / "constraints.txt").read_bytes())
    for wheel in select_wheels(contents, wheels):
        _put(own / "wheels" / wheel.name, wheel.read_bytes())
    if contents.unused:
        _strip_wheel(own / "wheels" / ours.name, contents.unused)


def select_wheels(contents: Contents, wheels: Path) -> list[Path]:
    """Those of the folder that belong into the package.  Raises `INSTALL_SOURCE_MISSING` where one is not there."""
    there = sorted(wheels.glob("*.whl"))
    if contents.libraries is None:
        return there
    of = {re.sub(r"[-_.]+", "-", wheel.name.split("-")[0]).lower(): wheel for wheel in there}  # PEP 503
    for library in contents.libraries - set(of):
        raise INSTALL_SOURCE_MISSING(path=str(wheels / f"{library}-….whl"))
    return [of[name] for name in sorted({"lantern-box", *contents.libraries})]


def _strip_wheel(wheel: Path, unused: tuple[str, ...]) -> None:
    """Take folders out of a wheel, and out of its RECORD."""
    smaller = io.BytesIO()
    with zipfile.ZipFile(wheel) as packed, zipfile.ZipFile(smaller, "w", zipfile.ZIP_DEFLATED) as kept:
        for entry in packed.infolist():
            content = packed.read(entry)
            if entry.filename.endswith(".dist-info/RECORD"):
                lines = content.decode().splitlines(keepends=True)
                content = "".join(line for line in lines if not line.startswith(unused)).encode()
            if not entry.filename.startswith(unused):
                kept.writestr(entry, content)
    wheel.write_bytes(smaller.getvalue())


def _write_docs(root: Path, contents: Contents, wheels: Path, source: Path, version: str, made: datetime) -> None:
    folder = root / "usr/share/doc" / contents.name
    _put(folder / "copyright", _fill_in((source / "systemd/debian/copyright").read_text("utf-8"), contents))
    for bill in wheels.glob("lantern_box-*.cdx.json"):
        _put(folder / "sbom.cdx.json", bill.read_bytes())
    said = f"{contents.name} ({version}) unstable; urgency=medium\n\n  * See CHANGELOG.md of the source.\n\n"
    said += f" -- {_MAINTAINER}  {format_datetime(made)}\n"
    _put(folder / "changelog.gz", gzip.compress(said.encode(), mtime=0))


def _format_template(contents: Contents) -> Iterator[str]:
    """The question of debconf that postrm asks, in both languages: debconf-devel(7)."""
    yield f"Template: {contents.name}/remove-state\nType: boolean\nDefault: false\n"
    for suffix, language in (("", "en"), ("-zh_CN.UTF-8", "zh_CN")):
        asked, more = translate(contents.remove, language), translate(contents.remove_more, language)
        yield f"Description{suffix}: {asked}\n {more}\n"


def _fill_in(text: str, contents: Contents) -> str:
    """A script that both packages have, for this one."""
    forget = f"rm -rf /{contents.purged}" if contents.purged else ": # dpkg takes the settings"
    for mark, value in (
        ("NAME", contents.name),
        ("VERB", contents.product.verb),
        ("STATE", str(contents.product.state)),
        ("LEFT", contents.left),
        ("FORGET", forget),
    ):
        text = text.replace(f"@{mark}@", value)
    return text


def _derive_version(wheel: str, made: datetime) -> str:
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


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m systemd.build.debian_package")
    parser.add_argument("wheels", type=Path, help="as `make wheels` filled it")
    parser.add_argument("--source", type=Path, default=Path(), help="the unpacked Lantern")
    parser.add_argument("--out", type=Path, default=Path("build"))
    parser.add_argument("--only", choices=("", *BY_NAME), default="", help="one of the two")
    options = parser.parse_args(arguments)
    made = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), UTC)
    for contents in BY_NAME.values():
        if options.only in ("", contents.name):
            print(write(contents, options.wheels, options.source.resolve(), options.out, made))
    return 0


if __name__ == "__main__":
    sys.exit(main())
