"""A signed repository of packs, read through TUF: its index and its files, accepted only as the publisher signed them.

The publisher's ``root.json`` is given once and kept.  From then on a copy of the repository that is older than one seen
before is refused, wherever it comes from (docs/decisions/signed-packs.md).
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError
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

from firmware_app import clock
from firmware_app.clock import Condition
from firmware_app.errors import (
    PackFileAltered,
    PackNotOffered,
    PackPublisherOther,
    PackPublisherUnknown,
    PackRepositoryExpired,
    PackRepositoryInvalid,
    PackRepositoryRolledBack,
    PackRepositoryUnreadable,
    PackRootInvalid,
    PackSignatureWrong,
    PackTruncated,
)
from firmware_app.packs.carrier import Carrier, CutOff
from firmware_app.packs.offers import INDEX, METADATA, TARGETS, Index, Offer

ROOT = "trusted-root.json"
Progress = Callable[[int, int], None]


class Repository:
    """One repository as its publisher signed it. :func:`opened` is how one is made."""

    def __init__(self, place: str, updater: Updater, carrier: Carrier, age_judged: bool) -> None:
        self.place, self.age_judged = place, age_judged
        self._updater, self._carrier = updater, carrier
        with self._as_pack_errors():
            updater.refresh()
        path = carrier.scratch / INDEX
        self._bring(INDEX, path)
        try:
            self.index = Index.model_validate_json(path.read_bytes())
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise PackRepositoryInvalid(repository=place, detail=f"{INDEX}: {first['msg']}") from error

    def offer(self, name: str, version: str | None = None) -> Offer:
        """The newest version of a pack, or that one; raises :class:`~firmware_app.errors.PackNotOffered`."""
        entry = self.index.find(name, version)
        if entry is None:
            offered = ", ".join(f"{one.name} {one.version}" for one in self.index.packs) or "–"
            raise PackNotOffered(repository=self.place, pack=f"{name} {version or ''}".rstrip(), offered=offered)
        return entry

    def fetch(self, offer: Offer, folder: Path, on_progress: Progress) -> None:
        """Bring every file of ``offer`` into ``folder``, each with the digest and length that were signed.

        ``on_progress`` is called with (done, total) bytes.  Raises a :class:`~firmware_app.errors.PackError` that names
        the file, and ``OSError`` when this box cannot write.
        """
        done = 0
        for file in offer.files:
            self._bring(offer.target(file), folder / file.path)
            done += file.bytes
            on_progress(done, offer.bytes)

    def _bring(self, target: str, path: Path) -> None:
        with self._as_pack_errors():
            info = self._updater.get_targetinfo(target)
        if info is None:
            raise PackRepositoryInvalid(repository=self.place, detail=f"{target} is named but not signed")
        try:
            with self._as_pack_errors():
                self._updater.download_target(info, str(path))
        except PackFileAltered as error:
            if self._carrier.received < info.length:
                raise PackTruncated(repository=self.place, file=target) from error
            raise PackFileAltered(repository=self.place, file=target) from error
        except PackTruncated as error:
            raise PackTruncated(repository=self.place, file=target) from error

    @contextmanager
    def _as_pack_errors(self) -> Iterator[None]:
        """Turn TUF's errors into a `PackError`."""
        name = self._carrier.name
        try:
            yield
        except CutOff as error:
            raise PackTruncated(repository=self.place, file=self._carrier.name) from error
        except (LengthOrHashMismatchError, DownloadLengthMismatchError) as error:
            raise PackFileAltered(repository=self.place, file=self._carrier.name) from error
        except UnsignedMetadataError as error:
            raise PackSignatureWrong(repository=self.place, detail=_short(error)) from error
        except BadVersionNumberError as error:
            raise PackRepositoryRolledBack(repository=self.place, detail=_short(error)) from error
        except ExpiredMetadataError as error:
            raise PackRepositoryExpired(repository=self.place) from error
        except DownloadHTTPError as error:
            detail = f"{self._carrier.name or name}: {_short(error)}"
            raise PackRepositoryUnreadable(repository=self.place, detail=detail) from error
        except DownloadError as error:
            raise PackRepositoryUnreadable(repository=self.place, detail=_short(error)) from error
        except RepositoryError as error:
            raise PackRepositoryInvalid(repository=self.place, detail=_short(error)) from error


@contextmanager
def opened(place: str, pack: str, trust: Path, root: Path | None, scratch: Path) -> Iterator[Repository]:
    """The repository at ``place`` (a folder or an address), checked against the publisher kept in ``trust``.

    ``root`` is the publisher's root.json, needed once; it is kept only after the repository has proved to be signed by
    it. ``scratch`` is an empty folder on the disk where packs are installed. ``pack`` is only named in errors.

    Raises a :class:`~firmware_app.errors.PackError`, and ``OSError`` when this box cannot write.
    """
    given = _given(root)
    known = (trust / ROOT).read_bytes() if (trust / ROOT).is_file() else None
    if known is None and given is None:
        raise PackPublisherUnknown(pack=pack, repository=place)
    if known is not None and given is not None and given not in _roots(trust):
        raise PackPublisherOther(path=str(root), trust=str(trust))
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
        raise PackRootInvalid(path=str(path), detail=_short(error)) from error
    # Expiry is judged by the box's time, not by the system clock; TUF has no public way to set it.  While that time is
    # not to be trusted, only metadata is too old that expired before a moment that has certainly passed.
    certain = datetime.fromtimestamp(clock.here().memory().certain(), UTC)
    updater._trusted_set.reference_time = standing.stamp.at if judged else certain
    try:
        repository = Repository(place, updater, carrier, judged)
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


def _given(root: Path | None) -> bytes | None:
    try:
        return None if root is None else root.read_bytes()
    except OSError as error:
        raise PackRootInvalid(path=str(root), detail=error.strerror or "it cannot be read") from error


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
