"""The overlay on NVIDIA's root file system, with a folder that has what the overlay looks at; no board has run it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.peers import REPOSITORY, peer

SCRIPT = REPOSITORY / "systemd/jetson/overlay.sh"


def overlay(rootfs: Path, *packages: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(SCRIPT), str(rootfs), *(str(one) for one in packages)], capture_output=True, text=True, check=False
    )


def package(folder: Path, architecture: str = "arm64", python: str = "3.12") -> Path:
    tree = folder / f"tree-{architecture}-{python}"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        f"Package: lantern-box\nVersion: 1\nArchitecture: {architecture}\nMaintainer: A <a@a.invalid>\n"
        f"Depends: debconf, python3 (>= {python}), python3 (<< 4), nginx\nDescription: toy\n"
    )
    made = folder / f"lantern-box_{python}_{architecture}.deb"
    subprocess.run([peer("dpkg-deb"), "--build", str(tree), str(made)], check=True, stdout=subprocess.DEVNULL)
    return made


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    root = tmp_path / "rootfs"
    for name in ("etc/nv_tegra_release", "usr/bin/python3.12"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


def test_the_first_start_installs_what_was_put_in(rootfs: Path, tmp_path: Path) -> None:
    before, ours = files(rootfs), package(tmp_path)
    for _ in range(2):
        done = overlay(rootfs, ours)
        assert done.returncode == 0, done.stderr
        assert files(rootfs) - before == {
            f"var/lib/lantern-first/{ours.name}",
            "etc/systemd/system/lantern-first.service",
            "etc/systemd/system/multi-user.target.wants/lantern-first.service",
        }
    wanted = rootfs / "etc/systemd/system/multi-user.target.wants/lantern-first.service"
    assert wanted.read_bytes() == (REPOSITORY / "systemd/jetson/lantern-first.service").read_bytes()
    done = subprocess.run(
        [peer("systemd-analyze"), "verify", "--man=no", str(REPOSITORY / "systemd/jetson/lantern-first.service")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("architecture", "python", "word"), [("amd64", "3.12", "not for 64-bit ARM"), ("arm64", "3.11", "Python 3.11")]
)
def test_a_package_for_another_machine_is_refused_before_anything_is_changed(
    rootfs: Path, tmp_path: Path, architecture: str, python: str, word: str
) -> None:
    before = files(rootfs)
    done = overlay(rootfs, package(tmp_path, architecture, python))
    assert done.returncode == 1
    assert word in done.stderr
    assert files(rootfs) == before
