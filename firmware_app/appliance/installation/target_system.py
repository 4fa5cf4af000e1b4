"""The machine that becomes a box, the record of what was installed, and the sentences about each step."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from firmware_app.appliance.errors import InstallStepFailed
from firmware_app.core import language
from firmware_app.core.language import printable_language, translate

_RECORD: Final = "installed.json"


@dataclass
class InstallationRecord:
    """What an installation wrote, for the next one and for the removal."""

    files: dict[str, str] = field(default_factory=dict)
    """Path below the root -> SHA-256 of what was written."""
    packages: list[str] = field(default_factory=list)
    """Debian packages that were not there before; while they are being fetched, those that will come."""
    running: str = ""
    """A digest of what systemd was last told to start; another one when a run was cut off before that."""


@dataclass
class TargetSystem:
    """The running machine, or a folder that is to become one (DESTDIR); paths are given without the leading slash."""

    root: Path = Path("/")
    changed: bool = False
    prefix: Path = Path("opt/lantern")
    """Where the programs are: the box's, or the hospital's, which may be on the same machine."""

    @property
    def venv(self) -> Path:
        """The programs in use."""
        return self.prefix / "venv"

    @property
    def is_running_system(self) -> bool:
        """Whether this is the running machine."""
        return self.root == Path("/")

    @property
    def has_systemd(self) -> bool:
        """Whether it runs under systemd now: sd_booted(3)."""
        return self.is_running_system and Path("/run/systemd/system").is_dir()

    @property
    def root_option(self) -> list[str]:
        """What systemd's tools have to be given so that they work on this machine."""
        return [] if self.is_running_system else [f"--root={self.root}"]

    def resolve(self, path: Path | str) -> Path:
        return self.root / path

    def print_message(self, message: str, **details: object) -> None:
        """One sentence on the terminal, in the language of whoever sits there."""
        print(translate(message, terminal_language()).format(**details), flush=True)

    def print_change(self, message: str, **details: object) -> None:
        """The same, about a change that was made."""
        self.changed = True
        self.print_message(message, **details)

    # --- files --------------------------------------------------------------------------------------------------

    def write_file(self, path: Path, content: bytes, mode: int = 0o644) -> bool:
        """Write *content* to *path*, whole or not at all, also in a power cut. False when it was there already."""
        place = self.resolve(path)
        if place.is_file() and not place.is_symlink() and place.read_bytes() == content:
            if place.stat().st_mode & 0o7777 == mode:
                return False
            place.chmod(mode)
            return True
        self.make_folder(place.parent)
        fresh = place.with_name(f".{place.name}.new")
        fresh.unlink(missing_ok=True)
        with fresh.open("xb") as handle:
            os.fchmod(handle.fileno(), mode)
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        fresh.replace(place)
        return True

    def make_folder(self, place: Path) -> None:
        """Have the folder *place*, 0755 whatever the umask of whoever installs."""
        for missing in reversed([parent for parent in (place, *place.parents) if not parent.exists()]):
            missing.mkdir()
            missing.chmod(0o755)

    def link(self, path: Path, target: str) -> bool:
        """Have *path* point to *target*; False when it did already."""
        place = self.resolve(path)
        if place.is_symlink() and str(place.readlink()) == target:
            return False
        self.make_folder(place.parent)
        fresh = place.with_name(f".{place.name}.new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target)
        fresh.replace(place)
        return True

    # --- the record ---------------------------------------------------------------------------------------------

    @property
    def record(self) -> InstallationRecord | None:
        """What is installed; None when nothing is."""
        try:
            saved: dict[str, Any] = json.loads(self.resolve(self.prefix / _RECORD).read_text("utf-8"))
        except FileNotFoundError:
            return None
        known = {one.name for one in fields(InstallationRecord)}  # a later version may have written more
        return InstallationRecord(**{name: value for name, value in saved.items() if name in known})

    def save_record(self, record: InstallationRecord) -> None:
        saved = {**asdict(record), "files": dict(sorted(record.files.items())), "packages": sorted(record.packages)}
        self.write_file(self.prefix / _RECORD, f"{json.dumps(saved, indent=1)}\n".encode())

    def delete_record(self) -> None:
        """Nothing is installed."""
        self.resolve(self.prefix / _RECORD).unlink(missing_ok=True)
        with suppress(OSError):  # programs of an installation that was cut off may be there already
            self.resolve(self.prefix).rmdir()


def terminal_language() -> str:
    """The language for this terminal."""
    return printable_language(language.terminal_language())


def compute_digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def run(*command: str | Path, environment: Mapping[str, str] | None = None) -> str:
    """What *command* prints; raises `InstallStepFailed` with its own last words."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise InstallStepFailed(command=words[0], detail="there is no such program here") from None
    except OSError as error:
        raise InstallStepFailed(command=words[0], detail=error.strerror or str(error)) from None
    if done.returncode:
        raise InstallStepFailed(command=" ".join(words[:4]), detail=quote_end(done.stderr or done.stdout))
    return done.stdout


def quote_end(text: str, most: int = 300) -> str:
    """The end of what a program said, on one line."""
    lines: Sequence[str] = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-3:])[-most:] or "it says nothing"
