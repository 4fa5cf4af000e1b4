"""Many provisioning files in one place, a stick or a folder, and which of them is this box's.

There is one rule for the console and for a stick (`Contents.chosen`), because a box keeps the identity that it takes.
Anybody can sign a file for any box. So the last file of each hospital for a box counts, and no file hides another
hospital's. Files are looked for at the top and one folder down, since people copy the folder whole; links are passed
over.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from os import DirEntry, scandir
from pathlib import Path
from typing import Final

from firmware_app.appliance.provisioning import naming, signed_file
from firmware_app.appliance.provisioning.signed_file import SUFFIX, Proof, ProvisioningFile
from firmware_app.core.errors import (
    CodeWrong,
    LanternError,
    ProvisioningForged,
    ProvisioningMany,
    ProvisioningNone,
    ProvisioningUndecided,
    ProvisioningUnreadable,
)
from firmware_app.uplink.messages.envelope import Finder, is_findable

Counts = Callable[[ProvisioningFile], bool]
"""Whether a file's hospital is the one that the box knows."""
MOST_FILES: Final = 1000
"""A hospital's list may be longer; beyond this a file is found by its name alone."""


@dataclass(frozen=True, slots=True)
class Contents:
    """The usable files, by name (the last of each hospital for each box), and the reasons against the others."""

    files: tuple[ProvisioningFile | LanternError, ...]
    whole: bool
    """Whether all was seen that there ever was: nothing is damaged, unreadable or spoilt, or was not looked at."""
    more: bool = False
    counts: Counts | None = None

    @property
    def offers(self) -> list[ProvisioningFile]:
        """The files of the box's own hospital, where there are any; else all."""
        every = [one for one in self.files if isinstance(one, ProvisioningFile)]
        return [one for one in every if self.counts is not None and self.counts(one)] or every

    @property
    def refused(self) -> list[LanternError]:
        return [one for one in self.files if isinstance(one, LanternError)]

    @property
    def ours(self) -> list[ProvisioningFile]:
        """The files that may be for this machine: only those that name it, if any does. With files of two hospitals a
        name proves nothing, because either may have invented it.
        """
        may = [one for one in self.offers if one.content.device in ("", naming.machine())]
        hospitals = {one.content.hospital.verify for one in self.offers}
        return [one for one in may if one.content.device and len(hospitals) == 1] or may or self.offers

    def chosen(self, box: str | None) -> ProvisioningFile | None:
        """This box's file, where nobody needs to say which it is.

        It is the one for *box*, where the id is known; else the one made for this very machine; else the only one, if
        the place is `whole`: what was spoilt or lost may have been this box's, and what is left another's.  None where
        two hospitals have made one.
        """
        if box is not None:
            named = self.called(box)
            return named[0] if len(named) == 1 else None
        ours = self.ours
        decided = len(ours) == 1 and (self.whole or ours[0].content.device == naming.machine())
        return ours[0] if decided else None

    def called(self, box: str) -> list[ProvisioningFile]:
        return [one for one in self.offers if one.content.box == box]


def look(folder: Path, box: str | None = None, *, whole: bool = True, counts: Counts | None = None) -> Contents:
    """Read the files in *folder*, those that are called after *box* before any other.

    *whole* is False where the folder is known to have lost something.  Raises `OSError` where it cannot be read.
    """
    unread: list[str] = []
    named = f"{box}{SUFFIX}"
    paths = heapq.nsmallest(MOST_FILES + 1, _files(folder, unread), key=lambda path: (path.name != named, path))
    files = last(paths[:MOST_FILES])
    more = len(paths) > MOST_FILES
    spoilt = any(isinstance(one, LanternError) for one in files)
    return Contents(files, whole and not more and not unread and not spoilt, more, counts)


def last(paths: Iterable[Path]) -> tuple[ProvisioningFile | LanternError, ...]:
    """Of the files at *paths* each hospital's last for each box, and why one cannot be read."""
    read: list[ProvisioningFile | LanternError] = []
    for path in paths:
        try:
            read.append(signed_file.read(path, follow=False))
        except LanternError as error:
            read.append(error)
    offers = sorted((one for one in read if isinstance(one, ProvisioningFile)), key=lambda one: one.content.made)
    latest = {_whose(one): one for one in offers}
    return tuple(one for one in read if not isinstance(one, ProvisioningFile) or latest[_whose(one)] is one)


def _whose(offer: ProvisioningFile) -> tuple[str, str]:
    return offer.content.box, offer.content.hospital.verify


def find(path: Path, box: str | None = None, code: str | None = None, counts: Counts | None = None) -> ProvisioningFile:
    """The file at *path*, or what is `picked` of the folder *path*: never just any of its files.

    Raises what `picked` raises.
    """
    if not path.is_dir():
        return signed_file.read(path)
    try:
        contents = look(path, box, counts=counts)
    except OSError as error:
        raise ProvisioningUnreadable(file=path.name, detail=error.strerror or str(error)) from None
    return picked(contents, path, box, code)


def picked(contents: Contents, path: Path, box: str | None = None, code: str | None = None) -> ProvisioningFile:
    """This box's file of *contents*, which lie in *path*.

    Where `Contents.chosen` knows none, it is the one that *code*, from the box's label, opens.  Raises
    `ProvisioningUnreadable`, `ProvisioningForged`, `ProvisioningNone`, `ProvisioningMany`, `CodeWrong` and
    `ProvisioningUndecided`.
    """
    if (chosen := contents.chosen(box)) is not None:
        return chosen
    may = contents.ours if box is None else contents.called(box)
    if not may:
        raise _missing(contents, path, box)
    if code is None and (box is not None or not contents.more):
        raise ProvisioningUndecided(folder=str(path), count=len(may) + (len(contents.refused) if box is None else 0))
    for one in _likely(may, code) if code is not None else ():
        with suppress(CodeWrong):
            signed_file.believe(one, Proof(code=code))
            return one
    raise ProvisioningMany(limit=MOST_FILES) if contents.more else CodeWrong


def _likely(may: list[ProvisioningFile], code: str) -> Iterator[ProvisioningFile]:
    """Those of *may* that *code* may open: first what `Finder` finds, then the files that an earlier version made."""
    if len(may) == 1:
        yield from may
        return
    finders: dict[str, Finder] = {}
    for one in may:
        content = one.content
        if is_findable(content.nonce):
            whose = content.hospital.verify
            finder = finders[whose] = finders.get(whose) or Finder(code, whose)
            if finder.fits(content.nonce, content.box):
                yield one
    yield from (one for one in may if not is_findable(one.content.nonce))


def _missing(contents: Contents, folder: Path, box: str | None) -> LanternError:
    """Why there is no file for *box*, or none at all: the one that is called so may be spoilt."""
    wanted = f"{box or '*'}{SUFFIX}"
    for error in reversed(contents.refused):
        if not isinstance(error, ProvisioningUnreadable | ProvisioningForged):
            continue
        if box is None or error.file.startswith(f"{box}."):  # an id has no dot
            return error
    return ProvisioningMany(limit=MOST_FILES) if contents.more else ProvisioningNone(wanted=wanted, folder=str(folder))


def _files(folder: Path, unread: list[str]) -> Iterator[Path]:
    """Every provisioning file by its name; what cannot be looked at goes to *unread*.  Raises `OSError`."""
    below: list[str] = []
    with scandir(folder) as entries:
        for entry in entries:
            if _is(entry, unread, folders=True):
                below.append(entry.path)
            elif _is(entry, unread, folders=False):
                yield Path(entry.path)
    for name in below:
        try:
            with scandir(name) as entries:
                yield from (Path(entry.path) for entry in entries if _is(entry, unread, folders=False))
        except OSError:
            unread.append(name)


def _is(entry: DirEntry[str], unread: list[str], *, folders: bool) -> bool:
    if entry.name.startswith(".") or not (folders or entry.name.endswith(SUFFIX)):
        return False
    try:
        return entry.is_dir(follow_symlinks=False) if folders else entry.is_file(follow_symlinks=False)
    except OSError:
        unread.append(entry.path)
        return False
