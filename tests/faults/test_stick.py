"""A stick that anyone brings: what the kernel holds it to, what is taken from it, and what never is."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from firmware_app.cases import usb_import
from firmware_app.cases.usb_import import StickStage
from firmware_app.ingest import stick_mounting
from firmware_app.ingest.errors import STICK_BLANK, STICK_FOREIGN, STICK_UNSAFE
from firmware_app.ingest.stick_mounting import FileSystem, probe_file_system
from tests.faults import sticks
from tests.faults.loopfs import run
from tests.faults.sticks import box, import_stick, stick
from tests.objects import file_of, film, new_uid
from tests.peers import peer
from tests.refusals import raises_refusal
from tests.unit.ingest.test_dicomdir import dicomdir, record

REAL = ("693_UNCR.dcm", "MR2_UNCR.dcm", "RG1_UNCR.dcm", "RG3_J2KR.dcm", "US1_J2KR.dcm", "emri_small.dcm")


def image_of(kind: FileSystem, folder: Path, content: Path) -> Path:
    if kind is FileSystem.FAT:
        return sticks.fat(folder / "fat.img", content)
    if kind is FileSystem.ISO9660:
        return sticks.disc(folder / "disc.iso", content)
    return sticks.write_stick(folder / f"{kind.value}.img", content, kind)


def real_images() -> list[Path]:
    """Images of real patients, released for such use, as PyPI's pydicom-data has them."""
    import data_store

    folder = Path(data_store.__file__).parent / "data"
    paths = [folder / name for name in REAL if (folder / name).exists()]
    assert len(paths) >= 5
    return paths


def small_film(study: str) -> bytes:
    sop = new_uid()
    return file_of(film(sop_instance=sop, study=study, rows=8, columns=8), sop_instance=sop)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# --- the mount ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(FileSystem))
def test_the_kernel_refuses_every_write_to_a_mounted_stick(tmp_path: Path, kind: FileSystem) -> None:
    content = tmp_path / "content"
    content.mkdir()
    (content / "IMAGE.DCM").write_bytes(small_film(new_uid()))
    image = image_of(kind, tmp_path, content)
    before = digest(image)
    with stick(image, tmp_path / "usb") as plugged:
        assert plugged.plug() is kind
        stick_mounting.require_safe_mount(plugged.files)
        file = next(path for path in plugged.files.iterdir() if path.name.casefold() == "image.dcm")
        writes = (
            lambda: (plugged.files / "NEW").write_bytes(b"x"),
            lambda: file.write_bytes(b"x"),
            lambda: (plugged.files / "FOLDER").mkdir(),
            file.unlink,
            lambda: os.truncate(file, 0),
            lambda: (plugged.files / "LINK").symlink_to("/etc/passwd"),
        )
        for write in writes:
            with pytest.raises(OSError) as refused:  # noqa: PT011 - the number below is the match
                write()
            assert refused.value.errno == errno.EROFS
        with pytest.raises(PermissionError), plugged.device.open("r+b", buffering=0) as raw:  # root, past the mount
            raw.write(bytes(512))
    assert digest(image) == before


def test_a_driver_that_drops_an_option_in_silence_is_caught_and_nothing_is_opened(tmp_path: Path) -> None:
    content = tmp_path / "content"
    content.mkdir()
    (content / "IMAGE.DCM").write_bytes(small_film(new_uid()))
    config, state, clinical = box(tmp_path / "state")
    with stick(image_of(FileSystem.EXFAT, tmp_path, content), tmp_path / "usb") as plugged:
        plugged.files.mkdir(parents=True)
        run(peer("mount.exfat-fuse"), "-o", "ro,nosuid,nodev,noexec", str(plugged.device), str(plugged.files))
        with raises_refusal(STICK_UNSAFE) as unsafe:
            stick_mounting.require_safe_mount(plugged.files)
        assert unsafe.value.missing == "noexec, nosymfollow"  # the first was asked for
        ended = import_stick(config, plugged)
        assert (ended.stage, ended.reason and ended.reason.code) == (StickStage.REFUSED, STICK_UNSAFE.code)
    assert clinical.count_queue().instances == 0
    assert usb_import.read_status(state) == ended


def test_only_four_file_systems_are_ever_handed_to_a_driver(tmp_path: Path) -> None:
    content = tmp_path / "content"
    content.mkdir()
    refused = {"linux": sticks.linux(tmp_path / "ext4.img", content)}
    for name in ("blank", "swap", "trap"):
        refused[name] = tmp_path / f"{name}.img"
        with refused[name].open("wb") as handle:
            handle.truncate(32 << 20)
    run("mkswap", str(refused["swap"]))
    sticks.fat(refused["trap"], content, 32)
    with refused["trap"].open("r+b") as handle:  # FAT by its first sector, XFS by its magic and Btrfs by its own
        handle.seek(0x10040)
        handle.write(b"_BHRfS_M")
        handle.seek(1024 + 0x38)
        handle.write(b"\x53\xef")
    for name, image in refused.items():
        with stick(image, tmp_path / "usb") as plugged:
            with raises_refusal(STICK_FOREIGN, STICK_BLANK):
                plugged.plug()
            assert not sticks.is_mounted(plugged.files), name
    with raises_refusal(STICK_FOREIGN) as foreign:
        probe_file_system(refused["linux"])
    assert foreign.value.kind == "ext4"


@pytest.mark.parametrize("kind", list(FileSystem))
def test_chinese_names_are_shown_whole_where_the_locale_is_c(
    tmp_path: Path, kind: FileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a CD by its Joliet names, as Windows writes it."""
    monkeypatch.setenv("LC_ALL", "C")
    name = "清河卫生院/胸片 张三 第一次检查.dcm"
    content = tmp_path / "content"
    (content / name).parent.mkdir(parents=True)
    (content / name).write_bytes(small_film(new_uid()))
    if kind is FileSystem.ISO9660:
        image = sticks.disc(tmp_path / "disc.iso", content, "-J", "-input-charset", "utf-8")
    elif kind is FileSystem.FAT:  # mtools writes by the locale
        image = sticks.make_stick(tmp_path / "fat.img", kind)
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        folder = str(content / "清河卫生院")
        subprocess.run([peer("mcopy"), "-s", "-i", str(image), folder, "::/"], env=environment, check=True)
    else:
        image = sticks.write_stick(tmp_path / "image", content, kind)
    with stick(image, tmp_path / "usb") as plugged:
        plugged.plug()
        assert (plugged.files / name).read_bytes() == (content / name).read_bytes()


# --- what is taken --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(FileSystem))
def test_real_images_with_their_dicomdir_are_all_taken_once_and_only_once(tmp_path: Path, kind: FileSystem) -> None:
    content = tmp_path / "content"
    sticks.with_dicomdir(content, real_images())
    (content / "README.TXT").write_text("a viewing programme")
    (content / "LOGO.PNG").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    config, state, clinical = box(tmp_path / "state")
    image = image_of(kind, tmp_path, content)
    wanted = len(real_images())
    for again in range(2):
        with stick(image, tmp_path / "usb") as plugged:
            plugged.plug()
            ended = import_stick(config, plugged)
        assert (ended.stage, ended.reason) == (StickStage.DONE, None)
        assert (ended.new, ended.known) == ((0, wanted) if again else (wanted, 0))
        assert ended.refused == {}
        assert ended.receipt == again + 1
        assert f"{wanted}" in (state.usb / f"{ended.receipt:06d}.txt").read_text("utf-8")
    rows = clinical.database.connection.execute("SELECT outcome, COUNT(*) FROM arrivals GROUP BY 1").fetchall()
    assert [tuple(row) for row in rows] == [("accepted", wanted)]  # the second time not a byte was copied
    assert [case.incomplete for case in clinical.load_cases()] == [None] * clinical.count_queue().cases


# --- what is never taken --------------------------------------------------------------------------------------------


def hostile(content: Path, secret: Path) -> None:
    """Links out of the stick, a pipe, a device, a giant, a bomb and a list that points outside; and one image."""
    content.mkdir()
    (content / "GOOD.DCM").write_bytes(small_film(new_uid()))
    (content / "LINK.DCM").symlink_to(secret)
    (content / "FOLDER").symlink_to(secret.parent)
    (content / "LOOP").symlink_to(".")
    os.mkfifo(content / "PIPE.DCM")
    os.mknod(content / "ZERO.DCM", 0o20666, os.makedev(1, 5))
    with (
        zipfile.ZipFile(content / "BOMB.ZIP", "w", zipfile.ZIP_DEFLATED) as bomb,
        bomb.open("IMAGE.DCM", "w") as member,
    ):
        for _ in range(100):
            member.write(bytes(1 << 20))
    with (content / "GIANT.DCM").open("wb") as giant:  # 4 GiB that begin as a DICOM object and take no room
        giant.write(bytes(128) + b"DICM")
        giant.truncate(4 << 30)
    names = "\\".join(("..", "..", *secret.parts[1:]))
    (content / "DICOMDIR").write_bytes(dicomdir(record("STUDY", study="1.2"), record("IMAGE", file=names)))


def test_links_pipes_devices_lists_giants_and_bombs_lead_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On ext4, which holds all of them and which the box does not open: as if blkid could be deceived."""
    secret = tmp_path / "secret" / "film.dcm"
    secret.parent.mkdir()
    secret.write_bytes(small_film(new_uid()))
    content = tmp_path / "content"
    hostile(content, secret)
    fat = replace(stick_mounting.DRIVERS[FileSystem.FAT], kernel="ext4", options="noload")
    monkeypatch.setitem(stick_mounting.DRIVERS, FileSystem.FAT, fat)
    config, state, clinical = box(tmp_path / "state")
    read = _bytes_read()
    with stick(sticks.linux(tmp_path / "ext4.img", content), tmp_path / "usb") as plugged:
        plugged.plug(FileSystem.FAT)
        ended = import_stick(config, plugged)
    assert _bytes_read() - read < 50_000_000
    assert (ended.stage, ended.reason and ended.reason.code) == (StickStage.UNFINISHED, "stick.not_all")
    assert ended.new == 1
    assert ended.refused == {"intake.archive": 1, "intake.too_large": 1}
    (instance,) = clinical.database.connection.execute("SELECT file FROM instances").fetchall()
    assert digest(state.root / instance[0]) == digest(content / "GOOD.DCM")
    assert sum(path.stat().st_size for path in state.root.rglob("*") if path.is_file()) < 2_000_000


def _bytes_read() -> int:
    """What this process has read so far, from whatever (proc(5), rchar)."""
    return int(Path("/proc/self/io").read_text("ascii").split()[1])
