"""A box's packs: those installed under its state, and those shipped with it.

Under ``packs`` of the state, ``NAME`` is a link to ``.kept/VERSION/NAME``. A version is changed by replacing the link
alone, so a power cut leaves the old version or the new one. ``.trial/NAME`` is such a link too, to a version that is
on trial beside the one in use (`reading.trial_runner`); it serves nobody before it is committed. Of a pack that is both
installed and shipped the higher version is used: an update of the box may bring a newer one than was installed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from firmware_app.core.settings import Config
from firmware_app.packs.errors import PackError, PackFolderUnusable
from firmware_app.packs.manifest import MANIFEST_FILE
from firmware_app.packs.offers import parse_version
from firmware_app.packs.pack_folder import Pack, PackListing, find_pack, scan_packs, shipped_packs_dir

PACKS_FOLDER = "packs"
KEPT_FOLDER = ".kept"
PUBLISHER_FOLDER = ".publisher"
TRIAL_FOLDER = ".trial"


@dataclass(frozen=True, slots=True)
class PackStore:
    """The two folders in which a box looks for packs."""

    installed: Path
    shipped: Path

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """The folders in a box's configuration."""
        return cls(config.state.dir / PACKS_FOLDER, config.packs.dir or shipped_packs_dir())

    @property
    def publisher(self) -> Path:
        """Where the publisher's root, and what was last seen of the repository, are kept."""
        return self.installed / PUBLISHER_FOLDER

    def survey(self) -> PackListing:
        """Every pack in use, by name, and why others cannot be used; a broken version never hides one that works."""
        shipped = scan_packs(self.shipped)
        usable = {pack.name: pack for pack in shipped.packs}
        broken = list(shipped.broken)
        try:
            links = self._links()
        except OSError as error:
            links = []
            broken.append(PackFolderUnusable(path=str(self.installed), detail=error.strerror or "it cannot be read"))
        for link in links:
            try:
                # Resolved: a reader that still has the old manifest must never open the new version's files.
                pack = Pack.load(link.resolve())
                pack.require_hardware()
            except PackError as error:
                broken.append(error)
                continue
            other = usable.get(pack.name)
            if other is None or _version_key(pack) >= _version_key(other):
                usable[pack.name] = pack
        return PackListing(tuple(usable[name] for name in sorted(usable)), tuple(broken))

    def find(self, name: str) -> Pack:
        """The pack in use under ``name``; raises `PACK_UNKNOWN` or why it cannot be
        used."""
        shelf = self.survey()
        for pack in shelf.packs:
            if pack.name == name:
                return pack
        return find_pack(self.shipped, name)

    def versions(self, name: str) -> list[Pack]:
        """Every version of ``name`` on this box, the shipped one included, the oldest first."""
        shipped = [pack for pack in scan_packs(self.shipped).packs if pack.name == name]
        return sorted([*shipped, *self._load_kept_versions(name)], key=_version_key)

    def find_previous_version(self, pack: Pack) -> str | None:
        """The next lower version on the box, to which a roll-back goes, where the one in use was installed."""
        if not self.is_installed(pack) or self.find_linked_version(pack.name) != pack.manifest.version:
            return None
        versions = [version.manifest.version for version in self.versions(pack.name)]
        at = versions.index(pack.manifest.version) if pack.manifest.version in versions else 0
        return versions[at - 1] if at else None

    def is_installed(self, pack: Pack) -> bool:
        """Whether ``pack`` was installed rather than shipped."""
        return pack.folder.is_relative_to(self.installed.resolve())

    def is_shipped(self, name: str) -> bool:
        """Whether a pack of that name came with the box, though an installed version of it may be used."""
        return bool(name) and Path(name).name == name and (self.shipped / name / MANIFEST_FILE).is_file()

    def folder_of(self, name: str, version: str) -> Path:
        """The folder into which that version of the pack is installed."""
        return self.installed / KEPT_FOLDER / version / name

    def link_of(self, name: str) -> Path:
        """The link to the installed version in use."""
        return self.installed / name

    def find_linked_version(self, name: str) -> str | None:
        """The version that the link names, whether or not it can be loaded; ``None`` without a link."""
        link = self.link_of(name)
        return link.readlink().parent.name if link.is_symlink() else None

    def trial_link_of(self, name: str) -> Path:
        """The link to the version on trial."""
        return self.installed / TRIAL_FOLDER / name

    def find_trial_version(self, name: str) -> str | None:
        """The version that is on trial, whether or not it can be loaded; ``None`` without one."""
        link = self.trial_link_of(name)
        return link.readlink().parent.name if link.is_symlink() else None

    def trials(self) -> dict[str, int]:
        """Name of each pack of which a version is on trial → a mark that differs between two trials."""
        folder = self.installed / TRIAL_FOLDER
        try:
            return {link.name: link.lstat().st_mtime_ns for link in sorted(folder.iterdir()) if link.is_symlink()}
        except OSError:
            return {}

    def _links(self) -> list[Path]:
        if not self.installed.is_dir():
            return []
        return sorted(path for path in self.installed.iterdir() if path.is_symlink() and path.name[0] != ".")

    def _load_kept_versions(self, name: str) -> Iterator[Pack]:
        for folder in (self.installed / KEPT_FOLDER).glob(f"*/{name}"):
            try:
                yield Pack.load(folder.resolve())
            except PackError:
                continue  # damaged: nothing to go back to


def _version_key(pack: Pack) -> tuple[int, ...]:
    return parse_version(pack.manifest.version)
