"""A sealed case that a clinic sent on a stick: opened, verified, and only then moved to its final name.

Nothing is written before the box's signature is verified, and the folder gets its name only after all contents are.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firmware_app.uplink.errors import BUNDLE_INVALID, CARRIED_UNKNOWN
from firmware_app.uplink.messages.encrypted_files import PIECE_BYTES, SealedExportReader
from hospital import keyring
from hospital.errors import CARRIED_THERE, CARRIED_UNKEPT
from hospital.hospital_site import HospitalSite

_NAME: Final = re.compile(r"(c-[0-9a-f]{20})/([0-9]{5}\.dcm|manifest\.json)", re.ASCII)


@dataclass(frozen=True, slots=True)
class OpenedCase:
    """What was opened: the box that sealed it, the folder it is in now, and how many images that holds."""

    box: str
    folder: Path
    images: int


def open_sealed_case(site: HospitalSite, file: Path, out: Path) -> OpenedCase:
    """Open the sealed *file* into a new folder in *out*, called after the box and the case; *out* itself is made too.

    Raises what `SealedExportReader` raises, `BUNDLE_INVALID`, `CARRIED_THERE`, `CARRIED_UNKEPT` or `KEYS_MISSING`; then
    *out* is unchanged, as far as its disk still works.
    """
    keys = keyring.load_keys(site.keys)
    inbox = site.open_inbox()
    with closing(inbox):
        boxes = {box: verify for box, verify in inbox.load_verify_keys().items() if verify is not None}
    try:
        handle = file.open("rb")
    except OSError as error:
        raise BUNDLE_INVALID(path=str(file), detail=error.strerror or str(error)) from None
    with ExitStack() as closing_all:
        closing_all.enter_context(handle)
        content = SealedExportReader(handle, boxes, keys.private, keys.retired)
        fresh = closing_all.enter_context(_make_new_folder(out))
        names = list(_unpack_files(content, fresh))
        content.finish()
        cases = {case for case, _ in names}
        if len(cases) != 1:
            raise CARRIED_UNKNOWN()
        final = out / f"{content.box}-{cases.pop()}"
        if os.path.lexists(final):
            raise CARRIED_THERE(path=str(final))
        keyring.sync(fresh)
        _name_folder(fresh, final)
    return OpenedCase(content.box, final, sum(name.endswith(".dcm") for _, name in names))


def _name_folder(fresh: Path, final: Path) -> None:
    """Give the folder its name, durably, or not at all: the sealed file is still there to be opened again."""
    fresh.rename(final)
    try:
        keyring.sync(final.parent)
    except OSError:
        final.rename(fresh)
        raise


def _unpack_files(content: SealedExportReader, fresh: Path) -> Iterator[tuple[str, str]]:
    """Each file of the archive *content*, written into *fresh*: the case and the name it stands under.

    A box writes plain tar headers only. Extended headers can hold names and sizes of any length and can be nested
    without end, so they are refused: a compromised box can sign such an archive too.
    """
    written: set[str] = set()
    while any(head := b"".join(_read_exactly(content, tarfile.BLOCKSIZE))):
        try:
            entry = tarfile.TarInfo.frombuf(head, "ascii", "strict")
        except (tarfile.TarError, UnicodeError):
            raise CARRIED_UNKNOWN() from None
        named = _NAME.fullmatch(entry.name)
        if named is None or named[2] in written or entry.type != tarfile.REGTYPE or entry.size < 0:
            raise CARRIED_UNKNOWN()
        written.add(named[2])
        with (fresh / named[2]).open("xb") as target:
            for piece in _read_exactly(content, entry.size):
                target.write(piece)
            target.flush()
            os.fsync(target.fileno())
        for _ in _read_exactly(content, -entry.size % tarfile.BLOCKSIZE):
            pass
        yield named[1], named[2]


def _read_exactly(content: SealedExportReader, size: int) -> Iterator[bytes]:
    """The next *size* bytes, a piece at a time."""
    while size:
        piece = content.read(min(size, PIECE_BYTES))
        if not piece:
            raise CARRIED_UNKNOWN()
        size -= len(piece)
        yield piece


@contextmanager
def _make_new_folder(out: Path) -> Iterator[Path]:
    """A new folder in *out*, removed at the end unless it was renamed."""
    path = out / f".lantern-open-{secrets.token_hex(4)}"
    try:
        out.mkdir(mode=0o700, exist_ok=True)
        try:  # before it is there, so that no signal comes in between
            path.mkdir(mode=0o700)
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
    except OSError as error:
        raise CARRIED_UNKEPT(path=str(out), detail=error.strerror or str(error)) from None
