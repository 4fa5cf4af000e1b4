"""`lantern case export --stick`: a case, de-identified and sealed for the box's hospital, as one file on a stick.

The stick is one that a person mounted; the box itself writes to none.  An object stands open on the box's own disk only
for as long as it takes to seal it, and on the stick never.  The file gets its name when all of it is durable.
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

from firmware_app import export
from firmware_app.config import Config
from firmware_app.device import sealing
from firmware_app.device.provision import Keys
from firmware_app.errors import (
    BundleInvalid,
    ExportCaseTooLarge,
    ExportFolderUnusable,
    ExportNoHospital,
    ExportNoSigner,
    ExportOff,
    ExportThere,
    SealingFailed,
)
from firmware_app.export import Outcome, Progress
from firmware_app.language import N_, translate
from firmware_app.store.exchange import Exchange
from firmware_app.store.exports import BEGUN, DONE, STOPPED, Exports, Kept
from firmware_app.store.layout import StateDir, sync_directory
from firmware_app.uplink import credentials
from firmware_app.uplink.sealed_export import Sealer, newest

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
) -> tuple[Path | None, tuple[Outcome, ...]]:
    """Write *case* as one sealed file in *folder*, and say what became of each image.

    No file is left (None) when no image could be exported.  Raises as `export.export_case`, and `ExportNoHospital`,
    `ExportNoSigner` or `BundleInvalid`.
    """
    if not config.export.enabled:
        raise ExportOff
    if config.uplink.hospital is None:
        raise ExportNoHospital
    state = StateDir(config.state.dir)
    hospital, signer = credentials.hospital(config.uplink), _signer(config, state)
    to = newest(hospital, config.box.id, _last_word(state, hospital.verify))
    images = exports.images(case)
    final = export.place(folder, case + SUFFIX, state.root)
    exports.record(BEGUN, case, person, images=len(images), looked=int(looked), sealed=1)
    with ExitStack() as unless_whole:  # also on Ctrl-C: the audit must not stay silent about it
        unless_whole.callback(exports.record, STOPPED, case, person, sealed=1)
        with _unfinished(final) as handle:
            sealer = Sealer(handle, config.box.id, signer, to)
            tell = on_progress or (lambda _done, _all: None)
            outcomes = tuple(_each(config, exports, images, sealer, case, looked, tell))
            count = sum(one.file is not None for one in outcomes)
            if count:
                told = export.manifest(case, outcomes, looked=looked, encrypted=True)
                _add(sealer, f"{case}/{export.MANIFEST}", json.dumps(told, ensure_ascii=False, indent=1).encode())
                sealer.write(bytes(2 * _BLOCK))
                sealer.finish()
                _named(handle, final)
        unless_whole.pop_all()
    exports.record(DONE, case, person, exported=count, refused=len(outcomes) - count, sealed=1)
    return (final if count else None), outcomes


def _signer(config: Config, state: StateDir) -> Ed25519PrivateKey:
    """The box's signing key; one that lies under the security chip is opened by it, for root alone."""
    settings, sealed = config.uplink, Keys(state.line_keys).sealed[0]
    if settings.identity is None:
        raise ExportNoHospital
    try:
        if not settings.identity.exists() and sealed.exists() and (chip := sealing.chip()) is not None:
            return credentials.signing_key(chip.unseal(Keys(state.line_keys).identity.name, sealed.read_bytes()))
        return credentials.signing_key(settings.identity.read_bytes())
    except OSError as error:
        raise ExportNoSigner(detail=error.strerror or str(error)) from None
    except SealingFailed as error:
        raise ExportNoSigner(detail=error.detail) from None
    except ValueError as error:
        raise BundleInvalid(path=str(settings.identity), detail=str(error)[:120]) from None


def _last_word(state: StateDir, hospital: str) -> bytes | None:
    """The hospital's newest keys message, as it came; None before the first."""
    if not state.exchange_db.exists():
        return None
    exchange = Exchange(state.exchange_db)
    try:
        exchange.require()
        return exchange.keys(hospital)
    finally:
        exchange.database.close()


def _each(
    config: Config,
    exports: Exports,
    images: tuple[Kept, ...],
    sealer: Sealer,
    case: str,
    looked: bool,
    tell: Progress,
) -> Iterator[Outcome]:
    with _staging(config.state.dir) as stage:
        for one in export.each(config, exports, images, lambda _name: stage, looked, tell):
            if one.file is None:
                yield one
                continue
            sha256 = _add_file(sealer, f"{case}/{one.file}", stage)
            stage.unlink()
            yield Outcome(one.instance, one.file, {"sha256": sha256, **one.facts})


def _add(sealer: Sealer, name: str, data: bytes) -> None:
    sealer.write(_entry(name, len(data)))
    sealer.write(data + bytes(-len(data) % _BLOCK))


def _add_file(sealer: Sealer, name: str, path: Path) -> str:
    """Add the file at *path*, and return its sha256."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        sealer.write(_entry(name, size))
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            sealer.write(chunk)
    sealer.write(bytes(-size % _BLOCK))
    return digest.hexdigest()


def _entry(name: str, size: int) -> bytes:
    """The head of one file in the archive; it has no time, no owner and no mode of this box."""
    entry = tarfile.TarInfo(name)
    entry.size = size
    return entry.tobuf(tarfile.USTAR_FORMAT)


@contextmanager
def _staging(state: Path) -> Iterator[Path]:
    """Where one object at a time is de-identified: among what a start of the box sweeps away (layout.py)."""
    path = StateDir(state).incoming / f"export-{secrets.token_hex(4)}"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def _unfinished(final: Path) -> Iterator[BinaryIO]:
    """A new file beside *final*, taken away at the end unless it is called so by then, as far as the stick allows."""
    path = final.with_name(f".{final.name}-{secrets.token_hex(4)}")
    try:
        with path.open("xb") as handle:
            try:
                yield handle
            finally:
                with suppress(OSError):  # pulled out; what is left on it has no head
                    path.unlink(missing_ok=True)
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise ExportCaseTooLarge(path=str(final.parent)) from None
        raise ExportFolderUnusable(path=str(final.parent), detail=error.strerror or str(error)) from None


def _named(handle: BinaryIO, final: Path) -> None:
    """Give the finished file its name; another that came meanwhile stays."""
    if os.path.lexists(final):
        raise ExportThere(path=str(final))
    Path(handle.name).rename(final)
    sync_directory(final.parent)


def told(path: Path, config: Config) -> str:
    """What the console says of a finished file."""
    own = {place.stat().st_dev for place in (Path("/"), config.state.dir)}  # the state may be a disk of its own
    where = _STILL_HERE if path.stat().st_dev in own else _UNMOUNT
    opening = translate(_OPENED_BY, config.box.language).format(command=f"lantern-hospital open {path.name} --out DIR")
    return f"{opening}\n{translate(where, config.box.language)}"
