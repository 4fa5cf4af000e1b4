"""A folder of files that its publisher signed (TUF), on a stick or a web server: of packs, or of the box's software.

A box keeps the publisher's root.json and the newest metadata it has seen in a folder of its own; a repository older
than that is refused, wherever it comes from (docs/decisions/signed-packs.md).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError
from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
    UnsignedMetadataError,
)
from tuf.ngclient.updater import Updater

from firmware_app.core import clock
from firmware_app.core.clock import Condition
from firmware_app.core.errors import LanternError
from firmware_app.packs.carrier import Carrier, CutOff
from firmware_app.packs.offers import INDEX, METADATA, TARGETS

ROOT = "trusted-root.json"
Failure = Callable[..., LanternError]
IndexModel = TypeVar("IndexModel", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Failures:
    """The errors of one kind of repository.  Each takes ``repository``, and `detail` or `file` where it tells one."""

    unknown: Failure
    """No publisher is trusted yet."""
    unreachable: Failure  # detail
    unusable: Failure  # detail
    other_kind: Failure
    """Its index is that of another kind of repository: packs for software, or software for packs."""
    signature: Failure  # detail
    rolled_back: Failure  # detail
    expired: Failure
    truncated: Failure  # file
    altered: Failure  # file
    root: Failure
    """``path``, ``detail``: no root.json."""
    other_publisher: Failure
    """``path``, ``trust``."""


class SignedFolder(Generic[IndexModel]):
    """One repository as its publisher signed it, with what it offers. :func:`opened` is how one is made."""

    def __init__(
        self,
        place: str,
        kind: type[IndexModel],
        updater: Updater,
        carrier: Carrier,
        age_judged: bool,
        failures: Failures,
    ) -> None:
        self.place, self.age_judged, self.failures = place, age_judged, failures
        self._updater, self._carrier = updater, carrier
        with self._named():
            updater.refresh()
        path = carrier.scratch / INDEX
        self.bring(INDEX, path)
        try:
            self.index = kind.model_validate_json(path.read_bytes())
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            if first["loc"] == ("schema",) and str(first["input"]).partition("/")[0] not in first["ctx"]["expected"]:
                raise failures.other_kind(repository=place) from error
            raise failures.unusable(repository=place, detail=f"{INDEX}: {first['msg']}") from error

    def bring(self, target: str, path: Path) -> None:
        """Bring a target into the file *path*, with the digest and length that were signed.

        Raises one of the repository's failures, and ``OSError`` when this box cannot write.
        """
        with self._named():
            info = self._updater.get_targetinfo(target)
        if info is None:
            raise self.failures.unusable(repository=self.place, detail=f"{target} is named but not signed")
        try:
            with self._named(target):
                self._updater.download_target(info, str(path))
        except _Altered as error:
            cut = self._carrier.received < info.length
            raise (self.failures.truncated if cut else self.failures.altered)(
                repository=self.place, file=target
            ) from error

    @contextmanager
    def _named(self, target: str = "") -> Iterator[None]:
        """Turn TUF's errors into this repository's failures."""
        name, failures = self._carrier.name, self.failures
        try:
            yield
        except CutOff as error:
            raise failures.truncated(repository=self.place, file=target or self._carrier.name) from error
        except (LengthOrHashMismatchError, DownloadLengthMismatchError) as error:
            if target:
                raise _Altered from error
            raise failures.altered(repository=self.place, file=self._carrier.name) from error
        except UnsignedMetadataError as error:
            raise failures.signature(repository=self.place, detail=_short(error)) from error
        except BadVersionNumberError as error:
            raise failures.rolled_back(repository=self.place, detail=_short(error)) from error
        except ExpiredMetadataError as error:
            raise failures.expired(repository=self.place) from error
        except DownloadHTTPError as error:
            detail = f"{self._carrier.name or name}: {_short(error)}"
            raise failures.unreachable(repository=self.place, detail=detail) from error
        except DownloadError as error:
            raise failures.unreachable(repository=self.place, detail=_short(error)) from error
        except RepositoryError as error:
            raise failures.unusable(repository=self.place, detail=_short(error)) from error


class _Altered(Exception):
    """A target is not the file that was signed, or its end is missing."""


@contextmanager
def opened(
    place: str, kind: type[IndexModel], trust: Path, root: Path | None, scratch: Path, failures: Failures
) -> Iterator[SignedFolder[IndexModel]]:
    """The repository at ``place`` (a folder or an address), checked against the publisher kept in ``trust``.

    ``root`` is the publisher's root.json, needed once; it is kept only after the repository has proved to be signed by
    it. ``scratch`` is an empty folder on the disk where things are installed. ``kind`` is the
    form of its index.

    Raises one of *failures*, and ``OSError`` when this box cannot write.
    """
    given = _given(root, failures)
    known = (trust / ROOT).read_bytes() if (trust / ROOT).is_file() else None
    if known is None and given is None:
        raise failures.unknown(repository=place)
    if known is not None and given is not None and given not in _roots(trust):
        raise failures.other_publisher(path=str(root), trust=str(trust))
    bootstrap = known or given or b""
    folder = trust if known is not None else scratch / "publisher"
    folder.mkdir(exist_ok=True)
    standing = clock.here().standing()
    judged = standing.condition not in (Condition.BEHIND, Condition.AHEAD)
    carrier, address = Carrier(scratch), _address(place)
    try:
        updater = Updater(
            str(folder), f"{address}/{METADATA}/", None, f"{address}/{TARGETS}/", carrier, bootstrap=bootstrap
        )
    except RepositoryError as error:
        path = root if known is None else trust / ROOT
        raise failures.root(path=str(path), detail=_short(error)) from error
    # Expiry is judged by the box's time, not by the system clock; TUF has no public way to set it.  While that time is
    # not to be trusted, only metadata is too old that expired before a moment that has certainly passed.
    certain = datetime.fromtimestamp(clock.here().memory().certain(), UTC)
    updater._trusted_set.reference_time = standing.stamp.at if judged else certain
    try:
        repository = SignedFolder(place, kind, updater, carrier, judged, failures)
    finally:
        _sync(folder)
    if known is None:
        (folder / ROOT).write_bytes(bootstrap)
        _sync(folder)
        folder.rename(trust)
    yield repository


def fingerprint(root: bytes) -> str:
    """The SHA-256 of a root.json in groups of four digits, which two people can compare over the telephone."""
    digest = hashlib.sha256(root).hexdigest()
    return " ".join(digest[at : at + 4] for at in range(0, 32, 4))


def _given(root: Path | None, failures: Failures) -> bytes | None:
    try:
        return None if root is None else root.read_bytes()
    except OSError as error:
        raise failures.root(path=str(root), detail=error.strerror or "it cannot be read") from error


def _roots(trust: Path) -> list[bytes]:
    """Every trusted root of the publisher: the first, and its successors."""
    return [path.read_bytes() for path in (trust / ROOT, *sorted(trust.glob("root_history/*.json")))]


def _address(place: str) -> str:
    if place.startswith(("http://", "https://", "file://")):
        return place.rstrip("/")
    return Path(place).resolve().as_uri()


def _sync(folder: Path) -> None:
    """Flush the publisher's metadata to the disk: after a power cut the box must not accept an older repository."""
    for path in (*folder.rglob("*"), folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _short(error: Exception) -> str:
    """The first line of a library's error."""
    text = str(error) or type(error).__name__
    return text.splitlines()[0].rstrip(".")
