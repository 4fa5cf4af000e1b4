"""The shelf: a folder of packs on disk, and one pack in it."""

from dataclasses import dataclass
from pathlib import Path

from firmware_app.core.errors import (
    PackArtefactMissing,
    PackDigestMismatch,
    PackError,
    PackTaskUnread,
    PackUnknown,
    PackWrongHardware,
)
from firmware_app.packs.manifest import FILE_NAME, Artefact, Manifest, sha256_of
from firmware_app.packs.runtimes import choice

_PACKAGE = Path(__file__).resolve().parent.parent


def shipped_packs_dir() -> Path:
    """The folder of the packs that came with this program: inside the installed package, or in a checkout."""
    installed = _PACKAGE / "_models"
    return installed if installed.is_dir() else _PACKAGE.parent / "models"


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack on the shelf. Loading reads its manifest; only :meth:`verify` reads its model files."""

    folder: Path
    manifest: Manifest

    @classmethod
    def load(cls, folder: Path) -> "Pack":
        """The pack in ``folder``; raises :class:`~firmware_app.core.errors.PackManifestInvalid`."""
        return cls(folder, Manifest.load(folder))

    @property
    def name(self) -> str:
        """The pack's name, which is its folder's."""
        return self.manifest.name

    def verify(self) -> None:
        """Compare every model file and golden image with its digest.

        Raises :class:`~firmware_app.core.errors.PackArtefactMissing` or
        :class:`~firmware_app.core.errors.PackDigestMismatch` for the first that is absent or different.
        """
        promised = [file for artefact in self.manifest.artefacts for file in artefact.promised]
        promised += [(golden.path, golden.sha256) for golden in self.manifest.golden if golden.path and golden.sha256]
        if (typical := self.manifest.typicality) is not None:
            promised.append((typical.path, typical.sha256))
        for path, digest in promised:
            if not (self.folder / path).is_file():
                raise PackArtefactMissing(pack=self.name, file=path)
            if sha256_of(self.folder / path) != digest:
                raise PackDigestMismatch(pack=self.name, file=path)

    def require_hardware(self) -> None:
        """Raise :class:`~firmware_app.core.errors.PackWrongHardware` on a machine that the pack is not made for."""
        lacks = self.manifest.hardware.lacks()
        if lacks:
            raise PackWrongHardware(pack=self.name, version=self.manifest.version, detail=lacks)

    def artefact(self, runtime: str, precision: str) -> Path:
        """The file that ``runtime`` reads at this precision.

        Raises :class:`~firmware_app.core.errors.PackArtefactMissing`.
        """
        chosen = self.described(runtime, precision)
        for path, _ in chosen.promised:
            if not (self.folder / path).is_file():
                raise PackArtefactMissing(pack=self.name, file=path)
        return self.folder / chosen.path

    def has(self, runtime: str, precision: str) -> bool:
        """Whether there is a file that ``runtime`` reads at this precision."""
        try:
            self.described(runtime, precision)
        except PackArtefactMissing:
            return False
        return True

    def described(self, runtime: str, precision: str) -> Artefact:
        """The manifest's entry for that file; raises :class:`~firmware_app.core.errors.PackArtefactMissing`.

        The runtime's own file comes before one that was made for another runtime of this box and that it also reads,
        and a dynamic batch before a fixed one.
        """
        alike = [artefact for artefact in self.manifest.artefacts if artefact.precision == precision]
        fitting = [artefact for artefact in alike if artefact.runtime == runtime] or [
            artefact
            for artefact in alike
            if artefact.runtime in choice.installed() and artefact.path.endswith(choice.suffixes(runtime))
        ]
        if fitting:
            return min(fitting, key=lambda artefact: artefact.batch != "dynamic")
        raise PackArtefactMissing(pack=self.name, file=f"{runtime} {precision}")


@dataclass(frozen=True, slots=True)
class Shelf:
    """The packs in a folder: the usable ones by name, and why the others are unusable."""

    packs: tuple[Pack, ...]
    broken: tuple[PackError, ...]


def survey(folder: Path) -> Shelf:
    """Look at every pack in ``folder``; an empty or absent folder has none.  One broken pack never hides the others."""
    packs: list[Pack] = []
    broken: list[PackError] = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if (path / FILE_NAME).is_file():
            try:
                pack = Pack.load(path)
                manifest = pack.manifest
                if manifest.input.depth is not None and not manifest.answering.volumes:
                    raise PackTaskUnread(pack=pack.name, task=manifest.task)
                pack.require_hardware()
                packs.append(pack)
            except PackError as error:
                broken.append(error)
    return Shelf(tuple(packs), tuple(broken))


def list_packs(folder: Path) -> list[Pack]:
    """Every usable pack in ``folder``, by name."""
    return list(survey(folder).packs)


def find_pack(folder: Path, name: str) -> Pack:
    """The pack called ``name`` in ``folder``; raises :class:`~firmware_app.core.errors.PackUnknown`."""
    if not name or Path(name).name != name or not (folder / name / FILE_NAME).is_file():
        raise PackUnknown(pack=name)
    return Pack.load(folder / name)
