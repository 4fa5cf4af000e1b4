"""`make apt`: packages as a signed repository for apt, on a web server or in a folder on a stick.

    python -m systemd.build.apt_repository build/*.deb --needed build/wheels/*.deb --out build/apt

pool/lantern, pool/debian      the packages; in the second what they need of Debian, for machines without a line
dists/SUITE                    the lists of both, and Release with their digests, signed in InRelease
lantern-archive-keyring.gpg    the public key; a machine takes packages of this repository by it alone (Signed-By)

A signature has no end: a stick lies in a drawer for months, and the clocks of boxes are not to be trusted.  Debian's
apt-utils and gnupg do the work; the key is made at the first use.
"""

from __future__ import annotations

import argparse
import gzip
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

KEYRING: Final = "lantern-archive-keyring.gpg"
OURS, DEBIANS = "lantern", "debian"
_OWNER: Final = "Lantern packages"
_NEEDED: Final = {"apt-ftparchive": "apt-utils", "gpg": "gnupg"}
_ARCHITECTURES: Final = ("amd64", "arm64")


def write(packages: Sequence[Path], needed: Sequence[Path], out: Path, keys: Path) -> str:
    """Write the repository into *out*, in place of what is there; returns the fingerprint of the key in *keys*."""
    suite = platform.freedesktop_os_release()["VERSION_CODENAME"]
    fingerprint = _find_or_make_key(keys)
    fresh = out.with_name(f"{out.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    for component, found in ((OURS, packages), (DEBIANS, needed)):
        pool = fresh / "pool" / component
        pool.mkdir(parents=True)
        for package in found:
            shutil.copyfile(package, pool / package.name)
        for architecture in _ARCHITECTURES:
            listed = _run_apt_ftparchive(fresh, "--arch", architecture, "packages", f"pool/{component}")
            folder = fresh / "dists" / suite / component / f"binary-{architecture}"
            folder.mkdir(parents=True)
            (folder / "Packages").write_bytes(listed)
            (folder / "Packages.gz").write_bytes(gzip.compress(listed, mtime=0))
    said = {
        "Origin": "Lantern",
        "Label": "Lantern",
        "Codename": suite,
        "Suite": suite,
        "Architectures": " ".join(_ARCHITECTURES),
        "Components": f"{OURS} {DEBIANS}",
    }
    options = [word for name, value in said.items() for word in ("-o", f"APT::FTPArchive::Release::{name}={value}")]
    dists = fresh / "dists" / suite
    release = _run_apt_ftparchive(fresh, *options, "release", f"dists/{suite}")
    (dists / "Release").write_bytes(release)
    _run_gpg(keys, "--local-user", fingerprint, "--output", dists / "InRelease", "--clear-sign", dists / "Release")
    _run_gpg(keys, "--output", fresh / KEYRING, "--export", fingerprint)
    _stop_gpg_agent(keys)
    shutil.rmtree(out, ignore_errors=True)
    fresh.rename(out)
    return fingerprint


def _find_or_make_key(folder: Path) -> str:
    """The fingerprint of the key in *folder*, which is made there where there is none."""
    if not folder.exists():
        folder.mkdir(parents=True, mode=0o700)
        _run_gpg(folder, "--quick-generate-key", _OWNER, "ed25519", "sign", "never")
    listed = _run_gpg(folder, "--with-colons", "--list-secret-keys").decode().splitlines()
    return next(line.split(":")[9] for line in listed if line.startswith("fpr:"))  # GnuPG's doc/DETAILS


def _run_gpg(keys: Path, *words: str | Path) -> bytes:
    command: list[str | Path] = ["gpg", "--homedir", keys.resolve(), "--batch", "--quiet"]
    command += ["--pinentry-mode", "loopback", "--passphrase", "", *words]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def _stop_gpg_agent(keys: Path) -> None:
    """End the agent that gpg has started for this folder."""
    subprocess.run(["gpgconf", "--homedir", keys.resolve(), "--kill", "gpg-agent"], check=False)


def _run_apt_ftparchive(folder: Path, *words: str) -> bytes:
    done = subprocess.run(
        ["apt-ftparchive", *words], cwd=folder, check=True, stdout=subprocess.PIPE, env={**os.environ, "LC_ALL": "C"}
    )
    return done.stdout


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m systemd.build.apt_repository")
    parser.add_argument("packages", type=Path, nargs="+", metavar="DEB", help="ours")
    parser.add_argument("--needed", type=Path, nargs="*", metavar="DEB", default=[], help="Debian's")
    parser.add_argument("--out", type=Path, default=Path("build/apt"))
    parser.add_argument("--keys", type=Path, default=Path("build/apt-keys"), metavar="DIR", help="of the signer")
    options = parser.parse_args(arguments)
    if missing := [package for program, package in _NEEDED.items() if shutil.which(program) is None]:
        raise SystemExit(f"A repository for apt is made by Debian's tools: apt install {' '.join(missing)}")
    print(f"{options.out} is signed by {write(options.packages, options.needed, options.out, options.keys)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
