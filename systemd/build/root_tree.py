"""The file system of a slot: Debian's smallest set, the kernel, RAUC, and the box's own package, as one folder.

mmdebstrap makes Debian's part, which is kept in ``base.tar`` and used again while the list of packages stays the same.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from systemd.build.signing import Keys

SUITE: Final = "bookworm"
_OWN: Final = Path("usr/share/lantern-image")
_FILES: Final = {
    "fstab": "etc/fstab",
    "rauc.conf": "etc/rauc/system.conf",
    "users.sysusers": "usr/lib/sysusers.d/00-lantern-image.conf",
    "var.repart": "usr/lib/repart.d/50-var.conf",
    "renewal.rules": "usr/lib/udev/rules.d/91-lantern-renewal.rules",
    "wired.network": "usr/lib/systemd/network/80-lantern-wired.network",
    "initramfs/hook": "etc/initramfs-tools/hooks/lantern",
    "initramfs/local-top": "etc/initramfs-tools/scripts/local-top/lantern",
    "initramfs/local-bottom": "etc/initramfs-tools/scripts/local-bottom/lantern",
}
_ENABLED: Final = ("systemd-networkd", "systemd-resolved", "systemd-timesyncd")
_AWAY: Final = (
    "usr/lib/lantern-box/wheels",
    "var/cache",
    "var/lib/apt",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "etc/hostname",
    "etc/resolv.conf",
)
_NOT_STATE: Final = ("dpkg", "apt")  # folders of /var/lib that a box does not need


def make(package: Path, recipe: Path, keys: Keys, work: Path) -> Path:
    """The folder of the system with *package* installed."""
    tree = work / "root"
    subprocess.run(["rm", "-rf", "--one-file-system", tree], check=True)
    tree.mkdir()
    subprocess.run(["tar", "-C", tree, "-xpf", _bootstrap_base(recipe, work)], check=True)
    for source, place in _FILES.items():
        _put(tree / place, (recipe / source).read_bytes(), (recipe / source).stat().st_mode & 0o777)
    for unit in sorted((recipe / "units").iterdir()):
        _put(tree / "usr/lib/systemd/system" / unit.name, unit.read_bytes(), 0o644)
    _put(tree / _OWN / "keyring.pem", keys.certificate.read_bytes(), 0o644)
    if (root := keys.certificate.with_name("software-root.json")).exists():  # whose channel the box takes (software/)
        _put(tree / _OWN / root.name, root.read_bytes(), 0o644)
    for folder in ("config", "efi"):
        (tree / folder).mkdir(exist_ok=True)
    _install(package, recipe, tree)
    _generalise(tree, package.name.split("_")[1])
    return tree


def _bootstrap_base(recipe: Path, work: Path) -> Path:
    wanted = [line for line in (recipe / "packages").read_text("utf-8").splitlines() if line and line[0] != "#"]
    digest = hashlib.sha256("\n".join(wanted).encode()).hexdigest()[:12]
    base = work / f"base-{digest}.tar"
    if not base.exists():
        fresh = base.with_suffix(".new.tar")
        # No mirror is named, so it takes Debian's own, with the updates and the security updates.
        subprocess.run(
            [
                "mmdebstrap",
                "--quiet",
                "--variant=minbase",
                "--mode=root",
                f"--include={','.join(wanted)}",
                SUITE,
                fresh,
            ],
            check=True,
        )
        fresh.rename(base)
    return base


def _install(package: Path, recipe: Path, tree: Path) -> None:
    shutil.copy(package, tree / "package.deb")
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    with _mount_proc_and_dev(tree):
        for command in (
            ["systemd-sysusers"],
            ["dpkg", "-i", "/package.deb"],
            [
                "systemctl",
                "enable",
                *_ENABLED,
                *(unit.name for unit in sorted((recipe / "units").iterdir()) if "@" not in unit.name),
            ],
            ["update-initramfs", "-u"],
        ):
            subprocess.run(["chroot", tree, *command], env=environment, check=True, stdout=subprocess.DEVNULL)
    (tree / "package.deb").unlink()


@contextmanager
def _mount_proc_and_dev(tree: Path) -> Iterator[None]:
    places = [tree / "proc", tree / "dev"]
    subprocess.run(["mount", "-t", "proc", "proc", places[0]], check=True)
    subprocess.run(["mount", "--rbind", "--make-rslave", "/dev", places[1]], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", places[1]], check=True)
        subprocess.run(["umount", places[0]], check=True)


def _generalise(tree: Path, version: str) -> None:
    """Take out what belongs to the machine that made it, and what only a package manager needs."""
    for gone in _AWAY:
        place = tree / gone
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
    (tree / "var/cache").mkdir()
    _put(tree / "etc/machine-id", b"", 0o444)  # systemd writes a new one on the first start, and keeps it
    _put(tree / "etc/hostname", b"lantern\n", 0o644)
    (tree / "etc/resolv.conf").symlink_to("/run/systemd/resolve/stub-resolv.conf")
    shutil.copy(tree / "usr/share/systemd/tmp.mount", tree / "etc/systemd/system/tmp.mount")
    _link(tree / "etc/systemd/system/local-fs.target.wants/tmp.mount", "/etc/systemd/system/tmp.mount")
    # Where there is an /etc/issue, as on a Debian, agetty looks into no other issue.d.
    _link(tree / "etc/issue.d/lantern-recovery.issue", "/run/issue.d/lantern-recovery.issue")
    _put(tree / "etc/lantern-image", f"{version}\n".encode(), 0o644)
    factory = tree / "usr/share/factory/var/lib"
    factory.mkdir(parents=True, exist_ok=True)
    lines = ["# /var of a new disk is empty; what Debian's packages expect there comes from the image."]
    for folder in sorted((tree / "var/lib").iterdir()):
        if folder.name not in _NOT_STATE:
            subprocess.run(["cp", "-a", folder, factory / folder.name], check=True)
            lines.append(f"C /var/lib/{folder.name} - - - - /usr/share/factory/var/lib/{folder.name}")
    lines += ["d /var/lib/rauc 0755 root root -", "d /var/cache 0755 root root -"]
    _put(tree / "usr/lib/tmpfiles.d/00-lantern-image.conf", ("\n".join(lines) + "\n").encode(), 0o644)
    subprocess.run(["rm", "-rf", *(path for path in (tree / "var").iterdir())], check=True)


def _put(place: Path, content: bytes, mode: int) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    place.chmod(mode)


def _link(place: Path, target: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if not os.path.lexists(place):
        place.symlink_to(target)
