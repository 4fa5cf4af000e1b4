"""The state's disk of a flashed box, encrypted: LUKS2 on the partition "var", opened before /var is mounted.

    python -m firmware_app.appliance.state_volume     what lantern-volume.service runs at each start

What opens it (docs/decisions/encrypted-state.md):

* the machine's security chip (TPM 2.0), where there is one;
* the file ``/config/volume.key``: where there is no chip, and with a chip until it has opened the disk once after a
  restart.  A file named ``/config/ask-passphrase`` forbids it for good: then a person types the recovery key;
* the recovery key, always.  The screen shows it as long as the box is new.  It is also the password of root at the
  box's own screen, for whoever opens the disk may do everything there.

A disk that was never made ready is formatted; one that was is never formatted again, unless `erase_volume_keys` has
ended its keys. That is a factory reset: an entry of the boot menu asks for it, and a person at the screen confirms it.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from firmware_app.core import programs
from firmware_app.core.programs import ProgramFailed
from firmware_app.core.state_dir import sync_directory

NAME: Final = "lantern-var"
"""Of the opened volume, and the label that its header has once it is ready."""
MARK: Final = b"LANTERN NEW DISK"
"""With what an image fills the place of the header: it ends what a box had there before it was flashed."""
HEADER_BYTES: Final = 16 << 20
"""Of LUKS2, with the area of its keys (cryptsetup-luksFormat(8))."""
_BOUND_TO: Final = "--tpm2-pcrs=23"  # as firmware_app/core/key_files.py: no update of the firmware may lock a box out
_LITTLE_WORK: Final = ("--pbkdf=pbkdf2", "--pbkdf-force-iterations=1000")  # the key is random, so nobody can guess it
_SECONDS: Final = 300.0
_FOREVER_S: Final = 7 * 86400.0  # select(2) takes no more than 24 days
_UNSEEN: Final = "The recovery key of this box's disk. Write it down and keep it away from the box: {key}"
_RESET: Final = "lantern.reset"  # on the kernel's command line (systemd/image/grub.cfg)
_WORD: Final = "DELETE"
Step = Literal["format", "open", "stop"]


@dataclass(frozen=True)
class VolumePaths:
    """Where the volume and what belongs to it lie."""

    device: Path = Path("/run/lantern-disk/var")
    config: Path = Path("/config")
    screen: Path = Path("/run/issue.d/lantern-recovery.issue")

    @property
    def key(self) -> Path:
        return self.config / "volume.key"

    @property
    def recovery(self) -> Path:
        return self.config / "recovery.key"

    @property
    def made(self) -> Path:
        """Is there from the moment when the volume is ready."""
        return self.config / "volume.made"

    @property
    def asks(self) -> Path:
        return self.config / "ask-passphrase"

    @property
    def reset(self) -> Path:
        """A factory reset was begun; the initrd takes away what was changed in /etc (initramfs/local-bottom)."""
        return self.config / "reset"


@dataclass(frozen=True)
class LuksHeader:
    """What the LUKS2 header says; *keys* are key slots."""

    label: str = ""
    keys: frozenset[str] = frozenset()
    chip_keys: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, dumped: Mapping[str, Any], label: str) -> LuksHeader:
        """Of what `cryptsetup luksDump --dump-json-metadata` prints."""
        tokens = dumped.get("tokens", {}).values()
        chip = {
            str(key) for token in tokens if token.get("type") == "systemd-tpm2" for key in token.get("keyslots", ())
        }
        return cls(label, frozenset(map(str, dumped.get("keyslots", {}))), frozenset(chip))


def choose_step(header: LuksHeader | None, *, made: bool) -> Step:
    """What to do with a disk of this *header* (None where there is none)."""
    if header is not None and (header.label == NAME or made):
        return "open" if header.keys else "format"  # without a key nobody ever reads it again
    return "stop" if made else "format"


def main() -> int:
    os.umask(0o077)
    places = VolumePaths()
    try:
        if Path(f"/dev/mapper/{NAME}").exists():
            return 0
        begun = places.reset.exists()
        if begun or (_RESET in Path("/proc/cmdline").read_text("ascii").split() and _confirm_deletion(places)):
            erase_volume_keys(places)
            _print_line("the key of the state's disk is erased")
        if places.reset.exists() and not begun:  # the settings go with the next start
            _run("systemctl", "reboot", "--force")
            return 0
        found = choose_step(_read_header(places), made=places.made.exists())
        if found == "stop":
            _print_line("the state's disk has no header any more; nothing was changed on it")
            return 1
        if found == "format":
            _format(places)
        else:
            _open(places)
        places.reset.unlink(missing_ok=True)
        _show_recovery(places)
    except (OSError, ProgramFailed) as error:
        _print_line(f"the state's disk could not be opened: {error}")
        return 1
    return 0


def erase_volume_keys(places: VolumePaths | None = None) -> None:
    """End every key of the volume, so that nobody can read it again; the next start makes a new one, without settings.

    Cut off, it is finished at the next start; done twice it is the same.  Raises `OSError` and `ProgramFailed`.
    """
    where = places or VolumePaths()
    _write(where.reset, b"")
    if _read_header(where) is not None:
        _run("cryptsetup", "erase", "--batch-mode", where.device)
    for path in (where.made, where.key, where.recovery):
        path.unlink(missing_ok=True)
    sync_directory(where.config)


def _confirm_deletion(places: VolumePaths) -> bool:
    """Whether a person at the screen wants everything deleted."""
    if _read_header(places) is None:
        return False
    typed = _read_typed(
        f"Type {_WORD} and Enter to delete every image, account and setting of this box; Enter alone goes on:"
    )
    return typed.decode("ascii", "replace") == _WORD


def _format(places: VolumePaths) -> None:
    """Each step may be the last one before a power cut: the next start begins anew, for the label comes last."""
    _print_line("the state's disk is new; it is being made ready")
    _write(places.key, secrets.token_bytes(64))
    _run(
        "cryptsetup",
        "luksFormat",
        "--batch-mode",
        "--type=luks2",
        "--cipher=aes-xts-plain64",
        "--key-size=512",
        *_LITTLE_WORK,
        f"--key-file={places.key}",
        places.device,
    )
    recovery = _run("systemd-cryptenroll", "--recovery-key", f"--unlock-key-file={places.key}", places.device)
    _write(places.recovery, recovery.strip())
    programs.run_program("chpasswd", "-c", "SHA512", seconds=_SECONDS, data=b"root:" + recovery.strip() + b"\n")
    # TRIM: flash lasts longer; whoever has the disk learns how full it is.
    _run("cryptsetup", "open", "--allow-discards", "--persistent", f"--key-file={places.key}", places.device, NAME)
    _run("mke2fs", "-q", "-t", "ext4", "-L", NAME, f"/dev/mapper/{NAME}")
    _run("sync")
    if _has_tpm():
        _enrol_tpm(places, places.key)
    elif places.asks.exists():
        _remove_plain_key(places)
    _run("cryptsetup", "config", f"--label={NAME}", places.device)
    _write(places.made, b"")
    _print_line("the state's disk is ready, and encrypted")


def _open(places: VolumePaths) -> None:
    header = _read_header(places)
    if header is not None and header.chip_keys:
        if _try_open(places, "--token-only") or (_clear_tpm_lockout() and _try_open(places, "--token-only")):
            _remove_plain_key(places)  # the chip has opened it after a restart, so it will again
            _print_line("the state's disk was opened by the machine's chip")
            return
        _print_line("the machine's chip does not open the state's disk")
    if places.key.exists():
        if _try_open(places, f"--key-file={places.key}"):
            if places.asks.exists():
                _remove_plain_key(places)
            elif _has_tpm():
                _enrol_tpm(places, places.key)
            _print_line("the state's disk was opened by the key beside it")
            return
        _print_line("the key beside it does not open the state's disk")
    _reset_try_counter()
    with _ask_recovery_key() as ask:
        while not _try_open(places, f"--key-file={(key := ask())}"):
            _print_line("this is not the recovery key")
        if _has_tpm():
            _enrol_tpm(places, key)
    _print_line("the state's disk was opened by the recovery key")


def _clear_tpm_lockout() -> bool:
    """Let the chip forget power cuts: it counts each as a guess at a password, and locks itself after some (TPM 2.0
    Library, Part 1, 19.8: dictionary attack protection).  The volume's key has no password that could be guessed."""
    try:
        _run("tpm2_dictionarylockout", "--clear-lockout")
    except ProgramFailed as error:
        _print_line(f"the machine's chip stays locked: {error}")
        return False
    return True


def _try_open(places: VolumePaths, by: str, *options: str) -> bool:
    try:
        _run("cryptsetup", "open", by, *options, places.device, *([] if options else [NAME]))
    except ProgramFailed:
        return False
    return True


def _reset_try_counter() -> None:
    """A person is waited for; three starts without one say nothing against the slot (systemd/image/grub.cfg)."""
    for slot in "AB":
        if f"rauc.slot={slot}" in Path("/proc/cmdline").read_text("ascii").split():
            _run("grub-editenv", "/efi/lantern/grubenv", "set", f"{slot}_TRY=0", may_fail=True)


def _enrol_tpm(places: VolumePaths, key: Path) -> None:
    """Let the chip open the volume, and forget an earlier chip."""
    header = _read_header(places)
    wipe = ["--wipe-slot=tpm2"] if header is not None and header.chip_keys else []
    try:
        _run("systemd-cryptenroll", "--tpm2-device=auto", _BOUND_TO, *wipe, f"--unlock-key-file={key}", places.device)
    except ProgramFailed as error:
        _print_line(f"the machine's chip takes no key: {error}")


@contextmanager
def _ask_recovery_key() -> Iterator[Callable[[], Path]]:
    """Asks for the recovery key; gives it as a file in memory."""
    with tempfile.TemporaryDirectory(dir="/run") as folder:
        path = Path(folder) / "typed"

        def ask() -> Path:
            path.write_bytes(_read_typed("The recovery key of this box's disk:"))
            return path

        yield ask


def _read_typed(question: str) -> bytes:
    words = ("systemd-ask-password", "--no-tty", "--timeout=0", "--echo=yes", "--id=lantern-volume")
    return programs.run_program(*words, question, seconds=_FOREVER_S).strip()


def _remove_plain_key(places: VolumePaths) -> None:
    """End the key beside the disk.  Cut off between the two steps, the file opens nothing and goes the next time."""
    if not places.key.exists():
        return
    try:
        if _try_open(places, f"--key-file={places.key}", "--test-passphrase"):
            _run("cryptsetup", "luksRemoveKey", "--batch-mode", places.device, places.key)
    except ProgramFailed as error:
        _print_line(f"the key beside the state's disk stays for now: {error}")
        return
    places.key.unlink()
    sync_directory(places.config)


def _show_recovery(places: VolumePaths) -> None:
    """On the screen while the box is new, and gone from the disk when it is not."""
    if not places.recovery.exists():
        return
    if _is_new():
        places.screen.parent.mkdir(exist_ok=True)
        places.screen.write_text(_UNSEEN.format(key=places.recovery.read_text("ascii").strip()) + "\n\n", "ascii")
        return
    places.recovery.unlink()
    sync_directory(places.config)


def _is_new() -> bool:
    """Whether the box has no identity yet: its configuration lies on the partition "config", not on this volume."""
    from firmware_app.appliance.provisioning_answers import UNPROVISIONED
    from firmware_app.core.errors import LanternError
    from firmware_app.core.settings import load_config  # not before the disk is open: it takes a second

    try:
        return load_config().box.id == UNPROVISIONED
    except LanternError:
        return False


def _read_header(places: VolumePaths) -> LuksHeader | None:
    try:
        _run("cryptsetup", "isLuks", "--type=luks2", places.device)
    except ProgramFailed:
        return None
    label = _run("blkid", "--probe", "--match-tag=LABEL", "--output=value", places.device, may_fail=True)
    dumped = json.loads(_run("cryptsetup", "luksDump", "--dump-json-metadata", places.device))
    return LuksHeader.parse(dumped, label.decode("ascii", "replace").strip())


def _has_tpm() -> bool:
    try:
        _run("systemd-creds", "has-tpm2", "--quiet")
    except ProgramFailed:
        return False
    return True


def _run(*command: str | Path, may_fail: bool = False) -> bytes:
    try:
        return programs.run_program(*(str(word) for word in command), seconds=_SECONDS)
    except ProgramFailed:
        if may_fail:
            return b""
        raise


def _write(path: Path, content: bytes) -> None:
    """Whole, on the disk, and for root alone."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o400)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_directory(path.parent)


def _print_line(sentence: str) -> None:
    print(f"lantern: {sentence}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
