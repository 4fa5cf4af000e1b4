"""`lantern case export --stick`: a case, de-identified and sealed for the box's hospital, as one file on a stick.

A person mounts the stick; the box itself never writes to one.  An object is unencrypted on the box's own disk only
until it is sealed, and never on the stick.
"""

from __future__ import annotations

import errno
import hashlib
import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware_app.core import key_files
from firmware_app.core.errors import SealingFailed, StateUnusable
from firmware_app.core.key_files import KeyFiles
from firmware_app.core.language import N_, printable_language, translate
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir, free_bytes
from firmware_app.imaging.errors import EXPORT_NO_ROOM
from firmware_app.results.deidentified_export import MANIFEST, export_images, format_manifest
from firmware_app.results.errors import EXPORT_NO_HOSPITAL, EXPORT_NO_SIGNER
from firmware_app.results.export_session import (
    ExportOutcome,
    ExportRequest,
    ExportSession,
    convert_target_errors,
    create_stage,
    start_export,
)
from firmware_app.uplink.errors import BUNDLE_INVALID
from firmware_app.uplink.exchange.exchange_db import Exchange
from firmware_app.uplink.messages import credentials
from firmware_app.uplink.messages.credentials import choose_seal_key
from firmware_app.uplink.messages.encrypted_files import SealedExportWriter

SUFFIX: Final = ".lantern-sealed"
_OPENED_BY: Final = N_("It is sealed; only the hospital opens it: {command}")
_STILL_HERE: Final = N_(
    "This folder is on the box's own disk. If it was to be a stick, mount it there and export again."
)
_UNMOUNT: Final = N_("Unmount the stick before you take it out.")


def seal_case(request: ExportRequest) -> ExportSession:
    """Write the case as one sealed file; no file where no image could be exported.

    Raises what `deidentified_export.export_folder` raises, and `EXPORT_NO_HOSPITAL`, `EXPORT_NO_SIGNER` or
    `BUNDLE_INVALID`.
    """
    config, case, state = request.config, request.case, request.state
    if config.uplink.hospital is None:
        raise EXPORT_NO_HOSPITAL()
    hospital, signer = credentials.load_hospital(config.uplink), _load_signing_key(config, state)
    to = choose_seal_key(hospital, config.box.id, _read_newest_keys(state, hospital.verify))
    with (
        start_export(request, request.folder / f"{case}{SUFFIX}", sealed=1) as session,
        session.open_fresh_folder() as fresh,
        (fresh / session.target.name).open("xb") as handle,
    ):
        stick: Any = _Stick(SealedExportWriter(handle, config.box.id, signer, to), request.folder)
        archive = tarfile.TarFile(fileobj=stick, mode="w", format=tarfile.USTAR_FORMAT)
        with _open_staging(state) as stage:
            for outcome in export_images(session, stage, folders=(stage, request.folder)):
                facts = dict(outcome.facts)
                if outcome.file is not None:
                    with (stage / outcome.file).open("rb") as made:
                        facts = {"sha256": _add(archive, f"{case}/{outcome.file}", made), **facts}
                    (stage / outcome.file).unlink()
                session.outcomes.append(ExportOutcome(outcome.instance, outcome.file, facts, outcome.reason))
        if session.left:
            manifest = format_manifest(request, session.outcomes, encrypted=True)
            _add(archive, f"{case}/{MANIFEST}", io.BytesIO(manifest))
            archive.close()
            stick.finish()
            session.publish(fresh / session.target.name)
    return session


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
        return exchange.read_keys(hospital)
    finally:
        exchange.database.close()


class _Stick:
    """What the tar archive is written to: the sealed file on the stick in *folder*."""

    def __init__(self, sealer: SealedExportWriter, folder: Path) -> None:
        self._sealer, self._folder = sealer, folder

    def write(self, data: bytes) -> int:
        with convert_target_errors(self._folder):
            self._sealer.write(data)
        return len(data)

    def tell(self) -> int:
        return 0  # asked once, at the beginning

    def finish(self) -> None:
        """All of it is durable on return."""
        with convert_target_errors(self._folder):
            self._sealer.finish()


def _add(archive: tarfile.TarFile, name: str, content: BinaryIO) -> str:
    """Add a file without time, owner or mode of this box; returns its sha256."""
    entry = tarfile.TarInfo(name)
    digest = hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]  # any readable file
    entry.size = content.seek(0, io.SEEK_END)
    content.seek(0)
    archive.addfile(entry, content)
    return digest


@contextmanager
def _open_staging(state: StateDir) -> Iterator[Path]:
    """A folder for one object at a time; a file error in the block is reported as one of the box's own disk."""
    try:
        with create_stage(state) as folder:
            yield folder
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise EXPORT_NO_ROOM(free_mb=free_bytes(state.root) // 1_000_000) from None
        raise StateUnusable(path=str(state.root), detail=error.strerror or str(error)) from None


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
