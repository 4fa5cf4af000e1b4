"""`make image`: a disk that is written to a box as it is, and the signed file that renews such a box.

    python -m systemd.build.disk_image build/lantern-box_*.deb --keys build/image-keys --out build

bios, esp        GRUB for old and new PCs, and grubenv, the boot counter (systemd/image/grub.cfg)
boot-a, boot-b   kernel, initrd, and the hash of the slot's file system
root-a, root-b   the system, never written while it runs: squashfs with its dm-verity tree behind it
config           what was changed in /etc;  var: the state, on the first start grown to the end of the disk, encrypted

The disk is put together from files, without loop devices or device mapper, so that any Debian's root can make it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firmware_app.appliance import state_volume
from systemd.build import root_tree, signing

MIB: Final = 1 << 20
SECTOR: Final = 512
COMPATIBLE: Final = "lantern-x86_64"
_LINUX: Final = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
_BIOS: Final = "21686148-6449-6E6F-744E-656564454649"
_ESP: Final = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
_VAR: Final = "4D21B016-B534-45C2-A9FB-5C16E091FD2D"
_SLOT: Final = "6C616E74-6572-4E2D-A000-736C6F740001"  # our own, so that no tool takes a slot for something else
_GRUB: Final = (
    "biosdisk",
    "part_gpt",
    "fat",
    "squash4",
    "configfile",
    "normal",
    "loadenv",
    "regexp",
    "linux",
    "test",
    "echo",
    "reboot",
    "minicmd",
)
_EFI_GRUB: Final = (*_GRUB[1:], "efi_gop", "efi_uga", "all_video")
_EMPTY: Final = ("boot", "proc", "sys", "dev", "run", "tmp")
_PREFIX: Final = "(,gpt2)/lantern"  # on the disk that the firmware has chosen


@dataclass(frozen=True)
class Partition:
    """One of the disk's, in the order in which they lie; *content* is None where it is empty at first."""

    name: str
    kind: str
    mebibytes: int
    content: Path | None = None


@dataclass(frozen=True)
class Slot:
    """What fills a slot, and the version of it."""

    version: str
    root: Path
    boot: Path


def list_partitions(slot: Slot, work: Path) -> list[Partition]:
    """The disk's partitions; the second slot is empty until the first update."""
    return [
        Partition("bios", _BIOS, 1, work / "core.img"),
        Partition("esp", _ESP, 64, work / "esp.img"),
        Partition("boot-a", _SLOT, 128, slot.boot),
        Partition("root-a", _SLOT, 1536, slot.root),
        Partition("boot-b", _SLOT, 128),
        Partition("root-b", _SLOT, 1536),
        Partition("config", _LINUX, 128, work / "config.img"),
        Partition("var", _VAR, 64, work / "var.img"),
    ]


def format_partition_table(parts: Sequence[Partition]) -> str:
    """The partition table in sfdisk(8)'s words."""
    lines = ["label: gpt", "first-lba: 2048"]
    start = 1
    for part in parts:
        lines.append(f"start={start}MiB, size={part.mebibytes}MiB, type={part.kind}, name={part.name}")
        start += part.mebibytes
    return "\n".join(lines) + "\n"


def make_slot(tree: Path, version: str, work: Path) -> Slot:
    """Pack the unpacked system *tree* as the content of a slot."""
    root, boot = work / "root.img", work / "boot.img"
    root.unlink(missing_ok=True)
    boot.unlink(missing_ok=True)
    _run(
        "mksquashfs",
        tree,
        root,
        "-comp",
        "zstd",
        "-Xcompression-level",
        "6",
        "-b",
        "256K",
        "-noappend",
        "-quiet",
        "-no-progress",
        "-processors",
        "2",
        "-wildcards",
        "-e",
        *(f"{folder}/*" for folder in _EMPTY),
    )
    size = -(-root.stat().st_size // 4096) * 4096
    os.truncate(root, size)
    said = _run("veritysetup", "format", f"--hash-offset={size}", root, root)
    roothash = said.split("Root hash:")[1].split()[0]
    kernel = work / "boot"
    shutil.rmtree(kernel, ignore_errors=True)
    kernel.mkdir()
    [found] = (tree / "boot").glob("vmlinuz-*")
    shutil.copy(found, kernel / "vmlinuz")
    shutil.copy(found.with_name(found.name.replace("vmlinuz", "initrd.img")), kernel / "initrd.img")
    (kernel / "slot.cfg").write_text(f"set roothash={roothash}\nset hashoffset={size}\n", "ascii")
    _run(
        "mksquashfs",
        kernel,
        boot,
        "-comp",
        "gzip",
        "-noI",
        "-noD",
        "-noF",
        "-noX",
        "-noappend",
        "-quiet",
        "-no-progress",
        "-all-root",
    )
    return Slot(version, root, boot)


def make_disk(slot: Slot, recipe: Path, work: Path, disk: Path) -> None:
    """Write the whole disk to the (sparse) file *disk*."""
    _make_esp(recipe, work)
    config = work / "config.img"
    config.unlink(missing_ok=True)
    _run("mke2fs", "-q", "-t", "ext4", "-L", "lantern-config", config, "128M")
    (work / "var.img").write_bytes(state_volume.MARK * (state_volume.HEADER_BYTES // len(state_volume.MARK)))
    parts = list_partitions(slot, work)
    disk.unlink(missing_ok=True)
    with disk.open("xb") as made:
        made.truncate((sum(part.mebibytes for part in parts) + 2) * MIB)
    subprocess.run(["sfdisk", "--quiet", disk], input=format_partition_table(parts), text=True, check=True)
    start = 1
    for part in parts:
        if part.content is not None:
            if part.content.stat().st_size > part.mebibytes * MIB:
                raise SystemExit(f"{part.content} is larger than the partition {part.name} ({part.mebibytes} MiB)")
            _run(
                "dd", f"if={part.content}", f"of={disk}", "bs=1M", f"seek={start}", "conv=notrunc,sparse", "status=none"
            )
        start += part.mebibytes
    _make_bios_start(disk, work / "core.img")


def _make_esp(recipe: Path, work: Path) -> None:
    esp, environment = work / "esp.img", work / "grubenv"
    _run("grub-mkimage", "-O", "i386-pc", "-o", work / "core.img", "-p", _PREFIX, *_GRUB)
    _run("grub-mkimage", "-O", "x86_64-efi", "-o", work / "BOOTX64.EFI", "-p", _PREFIX, *_EFI_GRUB)
    environment.unlink(missing_ok=True)
    _run("grub-editenv", environment, "set", "ORDER=A B", "A_OK=1", "A_TRY=0", "B_OK=0", "B_TRY=0")
    esp.unlink(missing_ok=True)
    _run("mkfs.vfat", "-F", "32", "-n", "LANTERN-ESP", "-C", esp, str(64 * 1024))
    _run("mmd", "-i", esp, "::/EFI", "::/EFI/BOOT", "::/lantern")
    for source, place in (
        (work / "BOOTX64.EFI", "::/EFI/BOOT/BOOTX64.EFI"),
        (environment, "::/lantern/grubenv"),
        (recipe / "grub.cfg", "::/lantern/grub.cfg"),
    ):
        _run("mcopy", "-i", esp, source, place)


def _make_bios_start(disk: Path, core: Path) -> None:
    """What grub-bios-setup does, on a file: the first sector loads the core from the partition "bios" (GRUB manual,
    BIOS installation; offsets of grub-core/boot/i386/pc/boot.S and diskboot.S)."""
    first = MIB // SECTOR
    boot = bytearray(Path("/usr/lib/grub/i386-pc/boot.img").read_bytes())
    boot[0x5C:0x64] = struct.pack("<Q", first)
    boot[0x66:0x68] = b"\x90\x90"
    with disk.open("r+b") as made:
        table = made.read(SECTOR)[440:]
        made.seek(0)
        made.write(bytes(boot[:440]) + table)
        sectors = -(-core.stat().st_size // SECTOR)
        made.seek(MIB + 0x1F4)
        made.write(struct.pack("<QHH", first + 1, sectors - 1, 0x820))


def make_bundle(slot: Slot, keys: signing.Keys, work: Path, bundle: Path, compatible: str = COMPATIBLE) -> None:
    """Write the signed file by which a running box of the kind *compatible* gets *slot*."""
    content = work / "bundle"
    shutil.rmtree(content, ignore_errors=True)
    content.mkdir()
    os.link(slot.root, content / "root.img")
    os.link(slot.boot, content / "boot.img")
    (content / "manifest.raucm").write_text(
        f"[update]\ncompatible={compatible}\nversion={slot.version}\n\n[bundle]\nformat=verity\n\n"
        "[image.rootfs]\nfilename=root.img\n\n[image.boot]\nfilename=boot.img\n",
        "utf-8",
    )
    bundle.unlink(missing_ok=True)
    _run(
        "rauc",
        "bundle",
        f"--cert={keys.certificate}",
        f"--key={keys.key}",
        f"--keyring={keys.certificate}",
        content,
        bundle,
    )
    shutil.rmtree(content)


def _run(*command: str | Path) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise SystemExit(f"{' '.join(words[:3])} ended with {done.returncode}: {(done.stderr or done.stdout)[-2000:]}")
    return done.stdout


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m systemd.build.disk_image")
    parser.add_argument("package", type=Path, help="as `make deb` wrote it")
    parser.add_argument("--recipe", type=Path, default=Path("systemd/image"))
    parser.add_argument("--keys", type=Path, default=Path("build/image-keys"), help="made where there are none")
    parser.add_argument("--out", type=Path, default=Path("build"))
    options = parser.parse_args(arguments)
    work = options.out / "image"
    work.mkdir(parents=True, exist_ok=True)
    keys = signing.load_keys(options.keys)
    version = options.package.name.split("_")[1]
    tree = root_tree.make(options.package, options.recipe, keys, work)
    slot = make_slot(tree, version, work)
    disk, bundle = options.out / f"lantern-{version}.img", options.out / f"lantern-{version}.raucb"
    make_disk(slot, options.recipe, work, disk)
    make_bundle(slot, keys, work, bundle)
    packed = disk.with_name(f"{disk.name}.gz")  # what is carried; the programs that write disks on Windows read it
    with packed.open("wb") as file:
        subprocess.run(["gzip", "-1", "--stdout", disk], stdout=file, check=True)
    sizes = {path.name: path.stat().st_size for path in (slot.root, slot.boot, disk, packed, bundle)}
    print(
        json.dumps({"disk": str(disk), "bundle": str(bundle), "bytes": sizes, "on_disk": disk.stat().st_blocks * 512})
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
