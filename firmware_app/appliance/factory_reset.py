"""Back to the first start: the keys go first, then the settings, the volume's key, and everything else.

`StateDir.factory_reset` is written before anything goes and removed after everything else: while it is there no
process of the box starts; lantern-reset.service, or the command run again, finishes what was begun.  What is
overwritten may survive in the spare cells of an SSD.  Only where the state lies on LUKS2 is it gone for certain:
without its keyslots nobody opens the volume again, not even with the passphrase or the security chip.  What is
mounted stays readable until the computer is switched off, because its memory holds the key.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from firmware_app.appliance import state_volume
from firmware_app.appliance.certificate_authority import AuthorityFiles
from firmware_app.appliance.errors import VOLUME_KEY_KEPT
from firmware_app.core import clock, programs
from firmware_app.core.errors import LanternError, StateUnusable
from firmware_app.core.programs import ProgramFailed, ProgramMissing
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config, describe_config
from firmware_app.core.state_dir import StateDir, sync_directory, write_atomically

DONE_FILE: Final = "factory_reset.json"
"""In run/ afterwards, for the audit of the box that begins."""
ACTION: Final = "box.reset"
_OF_THE_INSTALLATION: Final = ("state", "viewer", "packs", "usb")
"""Sections that say how the software is installed, not whose box this is."""
_TRUSTED: Final = "hospital.json"
"""Beside lantern.toml: installed with the software, like the hospital that a prepared image trusts."""
_KEYS: Final = ("tls_key", "tls_cert", "tls_ca", "client_ca", "token", "identity", "hospital", "feedback_key")
_LEFT_ALONE: Final = "lost+found"


@dataclass(frozen=True, slots=True)
class ResetPlan:
    """What goes besides the state, and what is told; kept in the marker, because the settings are gone midway."""

    box: str
    config: str
    files: tuple[str, ...]
    elsewhere: tuple[str, ...]
    """Keys that the settings name outside of the box's own folders: they stay, and are told."""
    backup: str | None
    locked: str | None


@dataclass(frozen=True, slots=True)
class ResetOutcome:
    """What was done, and what was left."""

    plan: ResetPlan
    device: str | None
    """The LUKS2 device whose keyslots are erased."""
    kept: tuple[Reason, ...]
    backup_left: bool
    """The ring on another disk could not be deleted, for that disk is not there."""


def is_begun(state: StateDir) -> bool:
    return state.factory_reset.exists()


def reset(config: Config, config_file: Path, state: StateDir) -> ResetOutcome:
    """Delete the box; goes on where an earlier call was cut off.  Raises `StateUnusable`; then it is called again."""
    try:
        plan = _load_plan(state) or _begin(config, config_file, state)
        for key in _list_secrets(state):
            _destroy(key)
        for name in plan.files:
            _destroy(Path(name))
        _first_settings(config, Path(plan.config))
        kept: list[Reason] = []
        device = None
        try:
            device = erase_volume_key(state.root)
        except LanternError as error:
            kept.append(Reason.from_error(error))
        left = not _delete_ring(plan.backup)
        for entry in sorted(state.root.iterdir()):
            if entry != state.factory_reset and entry.name != _LEFT_ALONE:
                _delete(entry)
        sync_directory(state.root)
        state.run.mkdir(exist_ok=True)  # lantern-setup gives it its mode
        write_atomically(
            state.run / DONE_FILE, json.dumps({"box": plan.box, "at": clock.stamp_text("seconds")}).encode(), 0o660
        )
        sync_directory(state.run)
        state.factory_reset.unlink()
        sync_directory(state.root)
    except OSError as error:
        raise StateUnusable(path=str(error.filename or state.root), detail=error.strerror or str(error)) from None
    return ResetOutcome(plan, device, tuple(kept), left)


def make_plan(config: Config, config_file: Path, state: StateDir) -> ResetPlan:
    """What `reset` would do."""
    return _load_plan(state) or _list_deletions(config, config_file, state)


def _begin(config: Config, config_file: Path, state: StateDir) -> ResetPlan:
    plan = _list_deletions(config, config_file, state)
    write_atomically(state.factory_reset, json.dumps(asdict(plan)).encode(), 0o644)
    sync_directory(state.root)
    return plan


def _load_plan(state: StateDir) -> ResetPlan | None:
    if not is_begun(state):
        return None
    told: dict[str, Any] = json.loads(state.factory_reset.read_text("utf-8"))
    return ResetPlan(**{**told, "files": tuple(told["files"]), "elsewhere": tuple(told["elsewhere"])})


def _list_deletions(config: Config, config_file: Path, state: StateDir) -> ResetPlan:
    named = {path.absolute() for path in _list_key_paths(config.model_dump())}
    etc = config_file.absolute().parent
    own = [path for path in named if path.parent == etc]
    own.append(etc / "provisioned.json")
    elsewhere = [path for path in named if path.parent != etc and not path.is_relative_to(state.root)]
    return ResetPlan(
        box=config.box.id,
        config=str(config_file.absolute()),
        files=tuple(sorted(str(path) for path in own if path.name != _TRUSTED)),
        elsewhere=tuple(sorted(str(path) for path in elsewhere if path.exists())),
        backup=str(config.backup.dir) if config.backup.dir else None,
        locked=str(config.backup.locked) if config.backup.locked else None,
    )


def _list_key_paths(section: Mapping[str, Any]) -> Iterator[Path]:
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _list_key_paths(value)
        elif isinstance(value, Path) and key in _KEYS:
            yield value


def _list_secrets(state: StateDir) -> list[Path]:
    """Every secret of the box itself: of the line, of the page's authority, of the references, of sealed backups."""
    front = AuthorityFiles(state.root)
    files = [front.key, front.server, state.clinical_db.parent / "references.key"]
    files += [path for path in state.line_keys.rglob("*") if not path.is_dir()]
    return [path for path in files if os.path.lexists(path)]


def _destroy(path: Path) -> None:
    """Overwrite a file, as far as the disk obeys, and remove it; of a link the link alone goes."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISREG(status.st_mode):
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.write(descriptor, secrets.token_bytes(status.st_size))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    path.unlink()
    sync_directory(path.parent)


def _first_settings(config: Config, path: Path) -> None:
    """The configuration of a box that nobody has provisioned."""
    tree = {name: getattr(config, name).model_dump(mode="json") for name in _OF_THE_INSTALLATION}
    write_atomically(path, describe_config(Config.model_validate(tree)).encode("utf-8"), 0o644)
    sync_directory(path.parent)


def _delete_ring(folder: str | None) -> bool:
    """The copies on another disk, which hold names in clear; False where that disk is not there."""
    if folder is None:
        return True
    place = Path(folder)
    if not place.is_dir():
        return False
    for entry in place.iterdir():
        if entry.name.isdecimal() or entry.name == "new" or entry.name.startswith("gone-"):
            _delete(entry)
    sync_directory(place)
    return True


def _delete(entry: Path) -> None:
    """A folder that is a disk of its own is emptied, and stays."""
    if entry.is_symlink() or not entry.is_dir():
        entry.unlink()
    elif entry.is_mount():
        for path in entry.iterdir():
            _delete(path)
    else:
        with suppress(FileNotFoundError):
            shutil.rmtree(entry)


_TIMEOUT_S: Final = 60.0
_SYSTEM: Final = frozenset({"/", "/usr", "/boot", "/home"})
"""With one of these on the same volume, erasing it would end the machine itself, not only the box."""


def erase_volume_key(folder: Path) -> str | None:
    """Erase every keyslot of the LUKS2 device below *folder*; its name, or None where there is none of the box's own.

    Done twice, it changes nothing.  Raises `VOLUME_KEY_KEPT`.
    """
    device = find_volume(folder)
    if device is None:
        return None
    try:
        if (flashed := state_volume.VolumePaths()).made.exists() or flashed.reset.exists():
            state_volume.erase_volume_keys(flashed)
            return device
        programs.run_program("cryptsetup", "--batch-mode", "erase", device, seconds=_TIMEOUT_S)
    except (OSError, ProgramFailed) as error:
        raise VOLUME_KEY_KEPT(device=device, detail=str(error)) from None
    return device


def find_volume(folder: Path) -> str | None:
    """The LUKS2 device that holds *folder* and nothing of the system; None where there is none."""
    try:
        source = programs.run_program(
            "findmnt", "--noheadings", "--output", "SOURCE", "--target", str(folder), seconds=_TIMEOUT_S
        )
        named = source.decode().strip().partition("[")[0]  # of a bind mount: device[/folder]
        told = programs.run_program(
            "lsblk", "--json", "--inverse", "--paths", "--output", "NAME,FSTYPE,MOUNTPOINTS", named, seconds=_TIMEOUT_S
        )
        device = find_luks(json.loads(told))
        if device is None:
            return None
        held = programs.run_program(
            "lsblk", "--json", "--paths", "--output", "NAME,MOUNTPOINTS", device, seconds=_TIMEOUT_S
        )
        if holds_system(json.loads(held)):
            return None
        programs.run_program("cryptsetup", "isLuks", "--type", "luks2", device, seconds=_TIMEOUT_S)
    except ProgramMissing:
        return None
    except (ProgramFailed, ValueError):  # not a block device, or of another kind
        return None
    return device


def find_luks(told: Any) -> str | None:
    """The LUKS device in what ``lsblk --inverse`` says: the nearest one below the file system."""
    return next((str(device["name"]) for device in _walk_devices(told) if device.get("fstype") == "crypto_LUKS"), None)


def holds_system(told: Any) -> bool:
    """Whether anything of the machine itself is mounted from the device that ``lsblk`` describes."""
    mounted = {place for device in _walk_devices(told) for place in device.get("mountpoints") or ()}
    return not _SYSTEM.isdisjoint(mounted)


def _walk_devices(told: Any) -> Iterator[dict[str, Any]]:
    for one in told.get("blockdevices", told.get("children", ())):
        yield one
        yield from _walk_devices({"children": one.get("children", ())})
