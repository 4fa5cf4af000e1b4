"""A box's view of a pack repository: what it offers, and the files of a pack (docs/decisions/signed-packs.md)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from firmware_app.packs import signed_folder
from firmware_app.packs.errors import (
    PACK_FILE_ALTERED,
    PACK_KIND_OTHER,
    PACK_NOT_OFFERED,
    PACK_PUBLISHER_OTHER,
    PACK_PUBLISHER_UNKNOWN,
    PACK_REPOSITORY_EXPIRED,
    PACK_REPOSITORY_INVALID,
    PACK_REPOSITORY_ROLLED_BACK,
    PACK_REPOSITORY_UNREADABLE,
    PACK_ROOT_INVALID,
    PACK_SIGNATURE_WRONG,
    PACK_TRUNCATED,
)
from firmware_app.packs.offers import PackOffer, RepositoryIndex
from firmware_app.packs.signed_folder import ROOT_FILE as ROOT_FILE
from firmware_app.packs.signed_folder import RepositoryErrors, SignedFolder
from firmware_app.packs.signed_folder import fingerprint as fingerprint

Progress = Callable[[int, int], None]


class PackRepository:
    """One repository as its publisher signed it. :func:`open_repository` is how one is made."""

    def __init__(self, signed: SignedFolder[RepositoryIndex]) -> None:
        self.place, self.age_judged, self.index = signed.place, signed.age_judged, signed.index
        self._signed = signed

    def offer(self, name: str, version: str | None = None) -> PackOffer:
        """The newest version of a pack, or that one; raises `PACK_NOT_OFFERED`."""
        entry = self.index.find(name, version)
        if entry is None:
            offered = ", ".join(f"{pack.name} {pack.version}" for pack in self.index.packs) or "–"
            raise PACK_NOT_OFFERED(repository=self.place, pack=f"{name} {version or ''}".rstrip(), offered=offered)
        return entry

    def fetch(self, offer: PackOffer, folder: Path, on_progress: Progress) -> None:
        """Bring every file of ``offer`` into ``folder``, each with the digest and length that were signed.

        ``on_progress`` is called with (done, total) bytes.  Raises a :class:`~firmware_app.core.errors.PackError` that
        names the file, and ``OSError`` when this box cannot write.
        """
        done = 0
        for file in offer.files:
            self._signed.fetch(offer.target(file), folder / file.path)
            done += file.bytes
            on_progress(done, offer.bytes)


@contextmanager
def open_repository(place: str, pack: str, trust: Path, root: Path | None, scratch: Path) -> Iterator[PackRepository]:
    """The repository at ``place``, as `signed_folder.open_signed_folder`; ``pack`` is only named in errors.

    Raises a :class:`~firmware_app.core.errors.PackError`, and ``OSError`` when this box cannot write.
    """
    failures = RepositoryErrors(
        unknown=partial(PACK_PUBLISHER_UNKNOWN, pack=pack),
        unreachable=PACK_REPOSITORY_UNREADABLE,
        unusable=PACK_REPOSITORY_INVALID,
        signature=PACK_SIGNATURE_WRONG,
        rolled_back=PACK_REPOSITORY_ROLLED_BACK,
        expired=PACK_REPOSITORY_EXPIRED,
        truncated=PACK_TRUNCATED,
        altered=PACK_FILE_ALTERED,
        root=PACK_ROOT_INVALID,
        other_publisher=PACK_PUBLISHER_OTHER,
        other_kind=PACK_KIND_OTHER,
    )
    with signed_folder.open_signed_folder(
        place, RepositoryIndex, trust, root=root, scratch=scratch, failures=failures
    ) as signed:
        yield PackRepository(signed)
