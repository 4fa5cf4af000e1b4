"""`lantern case export --stick`: a case, de-identified and sealed for the box's hospital, as one file on a stick.

A person mounts the stick; the box itself never writes to one.  An object is unencrypted on the box's own disk only
until it is sealed, and never on the stick.  The file gets its final name when all of it is durable.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware_app.cases import export_staging
from firmware_app.cases.exports import Exports
from firmware_app.core import key_files
from firmware_app.core.errors import SealingFailed, StateUnusable
from firmware_app.core.key_files import KeyFiles
from firmware_app.core.language import N_, printable_language, translate
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir, free_bytes, sync_directory
from firmware_app.imaging.errors import EXPORT_NO_ROOM
from firmware_app.results import deidentified_export as export
from firmware_app.results.deidentified_export import Progress
from firmware_app.results.errors import (
    EXPORT_CASE_TOO_LARGE,
    EXPORT_NO_HOSPITAL,
    EXPORT_NO_SIGNER,
    ExportFolderUnusable,
    ExportThere,
)
from firmware_app.results.export_session import ExportOutcome, ExportSession, start_export
from firmware_app.uplink.errors import BUNDLE_INVALID
from firmware_app.uplink.exchange.exchange_db import Exchange
from firmware_app.uplink.messages import credentials
from firmware_app.uplink.messages.encrypted_files import SealedExportWriter, choose_seal_key

SUFFIX: Final = ".lantern-sealed"
_OPENED_BY: Final = N_("It is sealed; only the hospital opens it: {command}")
_STILL_HERE: Final = N_(
    "This folder is on the box's own disk. If it was to be a stick, mount it there and export again."
)
_UNMOUNT: Final = N_("Unmount the stick before you take it out.")
_CHUNK: Final = 1 << 20
_BLOCK: Final = 512  # of a tar archive (POSIX ustar)


def seal_case(
    config: Config,
    exports: Exports,
    case: str,
    folder: Path,
    *,
    person: str,
    looked: bool = False,
    on_progress: Progress | None = None,
) -> tuple[Path | None, tuple[ExportOutcome, ...]]:
    """Write *case* as one sealed file in *folder*; returns its path and the result for each image.

    The path is None, and no file is left, when no image could be exported.  Raises what `folder.export_case` raises,
    and `EXPORT_NO_HOSPITAL`, `EXPORT_NO_SIGNER` or `BUNDLE_INVALID`.
    """
    if config.uplink.hospital is None:
        raise EXPORT_NO_HOSPITAL()
    state = StateDir(config.state.dir)
    hospital, signer = credentials.load_hospital(config.uplink), _load_signing_key(config, state)
    to = choose_seal_key(hospital, config.box.id, _read_newest_keys(state, hospital.verify))
    name = case + SUFFIX
    with (
        start_export(config, exports, case, folder, name, person=person, looked=looked, sealed=1) as made,
        _open_unfinished(made.final) as handle,
    ):
        with _convert_stick_errors(folder):
            archive = _Archive(SealedExportWriter(handle, config.box.id, signer, to), folder)
        made.outcomes = tuple(
            _seal_images(config, exports, made, archive=archive, case=case, looked=looked, tell=on_progress)
        )
        if made.left:
            manifest = export.build_manifest(case, made.outcomes, looked=looked, encrypted=True)
            archive.add(f"{case}/{export.MANIFEST}", json.dumps(manifest, ensure_ascii=False, indent=1).encode())
            archive.finish()
            made.is_named = True
            with _convert_stick_errors(folder):
                _rename_finished(handle, made.final)
    return made.written, made.outcomes


def _load_signing_key(config: Config, state: StateDir) -> Ed25519PrivateKey:
    """The box's signing key; a key sealed by the security chip is unsealed, which only root can do."""
    settings, sealed = config.uplink, KeyFiles(state.line_keys).sealed[0]
    if settings.identity is None:
        raise EXPORT_NO_HOSPITAL()
    try:
        if not settings.identity.exists() and sealed.exists() and (chip := key_files.find_tpm()) is not None:
            return credentials.parse_signing_key(
                chip.unseal(KeyFiles(state.line_keys).identity.name, sealed.read_bytes())
            )
        return credentials.parse_signing_key(settings.identity.read_bytes())
    except OSError as error:
        raise EXPORT_NO_SIGNER(detail=error.strerror or str(error)) from None
    except SealingFailed as error:
        raise EXPORT_NO_SIGNER(detail=error.detail) from None
    except ValueError as error:
        raise BUNDLE_INVALID(path=str(settings.identity), detail=str(error)[:120]) from None


def _read_newest_keys(state: StateDir, hospital: str) -> bytes | None:
    """The hospital's newest keys message, still signed; None before the first."""
    if not state.exchange_db.exists():
        return None
    exchange = Exchange(state.exchange_db)
    try:
        exchange.require()
        return exchange.keys(hospital)
    finally:
        exchange.database.close()


def _seal_images(
    config: Config,
    exports: Exports,
    made: ExportSession,
    archive: _Archive,
    case: str,
    looked: bool,
    tell: Progress | None,
) -> Iterator[ExportOutcome]:
    with _open_staging(StateDir(config.state.dir)) as stage:
        into = (stage, made.final.parent)
        for one in export.export_images(
            config, exports, made.images, where=stage.joinpath, looked=looked, tell=tell, into=into
        ):
            if one.file is None:
                yield one
                continue
            path = stage / one.file
            sha256 = archive.add_file(f"{case}/{one.file}", path)
            path.unlink()
            yield ExportOutcome(one.instance, one.file, {"sha256": sha256, **one.facts})


class _Archive:
    """The tar archive within the sealed file on the stick in *folder*."""

    def __init__(self, sealer: SealedExportWriter, folder: Path) -> None:
        self._sealer, self._folder = sealer, folder

    def add(self, name: str, data: bytes) -> None:
        self._write(_make_tar_header(name, len(data)) + data + bytes(-len(data) % _BLOCK))

    def add_file(self, name: str, path: Path) -> str:
        """Add the file at *path*, and return its sha256."""
        digest = hashlib.sha256()
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123
            size = os.fstat(file.fileno()).st_size
            self._write(_make_tar_header(name, size))
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                self._write(chunk)
        self._write(bytes(-size % _BLOCK))
        return digest.hexdigest()

    def finish(self) -> None:
        """Finish the archive; all of it is durable on return."""
        self._write(bytes(2 * _BLOCK))
        with _convert_stick_errors(self._folder):
            self._sealer.finish()

    def _write(self, data: bytes) -> None:
        with _convert_stick_errors(self._folder):
            self._sealer.write(data)


def _make_tar_header(name: str, size: int) -> bytes:
    """The tar header of one file, without time, owner or mode of this box."""
    entry = tarfile.TarInfo(name)
    entry.size = size
    return entry.tobuf(tarfile.USTAR_FORMAT)


@contextmanager
def _open_staging(state: StateDir) -> Iterator[Path]:
    """A folder for one object at a time; a file error in the block is reported as one of the box's own disk."""
    try:
        with export_staging.create_stage(state) as folder:
            yield folder
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise EXPORT_NO_ROOM(free_mb=free_bytes(state.root) // 1_000_000) from None
        raise StateUnusable(path=str(state.root), detail=error.strerror or str(error)) from None


@contextmanager
def _convert_stick_errors(folder: Path) -> Iterator[None]:
    """A file error in the block is reported as one of the stick in *folder*."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise EXPORT_CASE_TOO_LARGE(path=str(folder)) from None
        raise ExportFolderUnusable(path=str(folder), detail=error.strerror or str(error)) from None


@contextmanager
def _open_unfinished(final: Path) -> Iterator[BinaryIO]:
    """A new file beside *final*; at the end it is removed unless it was renamed to *final*, if the stick allows."""
    path = final.with_name(f".{final.name}-{secrets.token_hex(8)}")
    with _convert_stick_errors(final.parent), ExitStack() as at_the_end:
        at_the_end.callback(_remove_file, path)  # registered before the file exists, so that no signal comes in between
        with path.open("xb") as handle:
            yield handle


def _remove_file(path: Path) -> None:
    with suppress(OSError):  # the stick was pulled out; the rest on it has no header and cannot be opened
        path.unlink(missing_ok=True)


def _rename_finished(handle: BinaryIO, final: Path) -> None:
    """Rename the finished file to its final name; a file already there is kept."""
    if os.path.lexists(final):
        raise ExportThere(path=str(final))
    Path(handle.name).rename(final)
    sync_directory(final.parent)


def describe_sealed_file(path: Path, config: Config) -> str:
    """The console's message about a finished file."""
    language = printable_language(config.box.language)
    opening = translate(_OPENED_BY, language).format(command=f"lantern-hospital open {path.name} --out DIR")
    own = {place.stat().st_dev for place in (Path("/"), config.state.dir)}  # the state may be a disk of its own
    try:
        where = _STILL_HERE if path.stat().st_dev in own else _UNMOUNT
    except OSError:  # the stick has already been pulled out
        return opening
    return f"{opening}\n{translate(where, language)}"
