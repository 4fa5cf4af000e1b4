"""A box's view of a pack repository: what it offers, and the files of a pack (docs/decisions/signed-packs.md)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from firmware_app.core.errors import (
    PackFileAltered,
    PackKindOther,
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
from firmware_app.packs import signed_folder
from firmware_app.packs.offers import Index, Offer
from firmware_app.packs.signed_folder import ROOT as ROOT
from firmware_app.packs.signed_folder import Failures, SignedFolder
from firmware_app.packs.signed_folder import fingerprint as fingerprint

Progress = Callable[[int, int], None]


class Repository:
    """One repository as its publisher signed it. :func:`opened` is how one is made."""

    def __init__(self, signed: SignedFolder[Index]) -> None:
        self.place, self.age_judged, self.index = signed.place, signed.age_judged, signed.index
        self._signed = signed

    def offer(self, name: str, version: str | None = None) -> Offer:
        """The newest version of a pack, or that one; raises :class:`~firmware_app.core.errors.PackNotOffered`."""
        entry = self.index.find(name, version)
        if entry is None:
            offered = ", ".join(f"{one.name} {one.version}" for one in self.index.packs) or "–"
            raise PackNotOffered(repository=self.place, pack=f"{name} {version or ''}".rstrip(), offered=offered)
        return entry

    def fetch(self, offer: Offer, folder: Path, on_progress: Progress) -> None:
        """Bring every file of ``offer`` into ``folder``, each with the digest and length that were signed.

        ``on_progress`` is called with (done, total) bytes.  Raises a :class:`~firmware_app.core.errors.PackError` that
        names the file, and ``OSError`` when this box cannot write.
        """
        done = 0
        for file in offer.files:
            self._signed.bring(offer.target(file), folder / file.path)
            done += file.bytes
            on_progress(done, offer.bytes)


@contextmanager
def opened(place: str, pack: str, trust: Path, root: Path | None, scratch: Path) -> Iterator[Repository]:
    """The repository at ``place``, as `signed_folder.opened`; ``pack`` is only named in errors.

    Raises a :class:`~firmware_app.core.errors.PackError`, and ``OSError`` when this box cannot write.
    """
    failures = Failures(
        unknown=partial(PackPublisherUnknown, pack=pack),
        unreachable=PackRepositoryUnreadable,
        unusable=PackRepositoryInvalid,
        signature=PackSignatureWrong,
        rolled_back=PackRepositoryRolledBack,
        expired=PackRepositoryExpired,
        truncated=PackTruncated,
        altered=PackFileAltered,
        root=PackRootInvalid,
        other_publisher=PackPublisherOther,
        other_kind=PackKindOther,
    )
    with signed_folder.opened(place, Index, trust, root, scratch, failures) as signed:
        yield Repository(signed)
