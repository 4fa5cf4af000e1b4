"""A folder of packs on disk, one pack in it, and the list of its digests.

``SHA256SUMS`` has the digest of every other file of a pack, as ``sha256sum --check`` reads it.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from firmware_app.packs.errors import (
    PACK_DIGEST_MISMATCH,
    PACK_FILE_UNLISTED,
    PACK_SUMS_INVALID,
    PACK_UNKNOWN,
    PACK_WRONG_HARDWARE,
    PackArtefactMissing,
    PackError,
    PackTaskUnread,
)
from firmware_app.packs.manifest import MANIFEST_FILE, Artefact, Manifest, file_sha256
from firmware_app.packs.runtimes import registry

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
        `PACK_DIGEST_MISMATCH` for the first that is absent or different.
        """
        promised = [file for artefact in self.manifest.artefacts for file in artefact.digests]
        promised += [(golden.path, golden.sha256) for golden in self.manifest.golden if golden.path and golden.sha256]
        if (typical := self.manifest.typicality) is not None:
            promised.append((typical.path, typical.sha256))
        for path, digest in promised:
            if not (self.folder / path).is_file():
                raise PackArtefactMissing(pack=self.name, file=path)
            if file_sha256(self.folder / path) != digest:
                raise PACK_DIGEST_MISMATCH(pack=self.name, file=path)

    def require_hardware(self) -> None:
        """Raise `PACK_WRONG_HARDWARE` on a machine that the pack is not made for."""
        lacks = self.manifest.hardware.find_missing()
        if lacks:
            raise PACK_WRONG_HARDWARE(pack=self.name, version=self.manifest.version, detail=lacks)

    def artefact(self, runtime: str, precision: str) -> Path:
        """The file that ``runtime`` reads at this precision.

        Raises :class:`~firmware_app.core.errors.PackArtefactMissing`.
        """
        chosen = self.find_artefact(runtime, precision)
        for path, _ in chosen.digests:
            if not (self.folder / path).is_file():
                raise PackArtefactMissing(pack=self.name, file=path)
        return self.folder / chosen.path

    def has(self, runtime: str, precision: str) -> bool:
        """Whether there is a file that ``runtime`` reads at this precision."""
        try:
            self.find_artefact(runtime, precision)
        except PackArtefactMissing:
            return False
        return True

    def find_artefact(self, runtime: str, precision: str) -> Artefact:
        """The manifest's entry for that file; raises :class:`~firmware_app.core.errors.PackArtefactMissing`.

        The runtime's own file comes before one that was made for another runtime of this box and that it also reads,
        and a dynamic batch before a fixed one.
        """
        alike = [artefact for artefact in self.manifest.artefacts if artefact.precision == precision]
        fitting = [artefact for artefact in alike if artefact.runtime == runtime] or [
            artefact
            for artefact in alike
            if artefact.runtime in registry.list_runtimes()
            and artefact.path.endswith(registry.runtime_suffixes(runtime))
        ]
        if fitting:
            return min(fitting, key=lambda artefact: artefact.batch != "dynamic")
        raise PackArtefactMissing(pack=self.name, file=f"{runtime} {precision}")


@dataclass(frozen=True, slots=True)
class PackListing:
    """The packs in a folder: the usable ones by name, and why the others are unusable."""

    packs: tuple[Pack, ...]
    broken: tuple[PackError, ...]


def scan_packs(folder: Path) -> PackListing:
    """Look at every pack in ``folder``; an empty or absent folder has none.  One broken pack never hides the others."""
    packs: list[Pack] = []
    broken: list[PackError] = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if (path / MANIFEST_FILE).is_file():
            try:
                pack = Pack.load(path)
                manifest = pack.manifest
                if manifest.input.depth is not None and not manifest.task_module.volumes:
                    raise PackTaskUnread(pack=pack.name, task=manifest.task)
                pack.require_hardware()
                packs.append(pack)
            except PackError as error:
                broken.append(error)
    return PackListing(tuple(packs), tuple(broken))


def list_packs(folder: Path) -> list[Pack]:
    """Every usable pack in ``folder``, by name."""
    return list(scan_packs(folder).packs)


def find_pack(folder: Path, name: str) -> Pack:
    """The pack called ``name`` in ``folder``; raises `PACK_UNKNOWN`."""
    if not name or Path(name).name != name or not (folder / name / MANIFEST_FILE).is_file():
        raise PACK_UNKNOWN(pack=name)
    return Pack.load(folder / name)


SUMS_FILE = "SHA256SUMS"
_SUM_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


def list_files(folder: Path) -> list[str]:
    """Every file below ``folder`` as a POSIX path inside it, by name; links count as what they point to."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def read_sums(folder: Path) -> dict[str, str]:
    """Path → digest, as the list in ``folder`` says; raises `PACK_SUMS_INVALID`."""
    try:
        lines = (folder / SUMS_FILE).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise PACK_SUMS_INVALID(pack=folder.name, detail=error.strerror or "it cannot be read") from error
    except UnicodeDecodeError as error:
        raise PACK_SUMS_INVALID(pack=folder.name, detail="it is not text") from error
    matches = [_SUM_LINE.fullmatch(line) for line in lines]
    for number, match in enumerate(matches, 1):
        if match is None:
            raise PACK_SUMS_INVALID(pack=folder.name, detail=f"line {number} is no digest with a file name")
    return {match[2]: match[1] for match in matches if match is not None}


def write_sums(folder: Path) -> Path:
    """Write the list for the files as they are now; returns its path."""
    lines = (f"{file_sha256(folder / name)}  {name}\n" for name in list_files(folder) if name != SUMS_FILE)
    path = folder / SUMS_FILE
    path.write_text("".join(lines), encoding="utf-8")
    return path


def check_sums(folder: Path) -> None:
    """Compare the pack in ``folder`` with its list: no file may be missing, different or additional.

    Raises `PACK_SUMS_INVALID`, `PACK_FILE_UNLISTED`,
    :class:`~firmware_app.core.errors.PackArtefactMissing` or `PACK_DIGEST_MISMATCH`.
    """
    promised = read_sums(folder)
    there = set(list_files(folder)) - {SUMS_FILE}
    for path in sorted(there - set(promised)):
        raise PACK_FILE_UNLISTED(pack=folder.name, file=path)
    for path, digest in promised.items():
        if path not in there:
            raise PackArtefactMissing(pack=folder.name, file=path)
        if file_sha256(folder / path) != digest:
            raise PACK_DIGEST_MISMATCH(pack=folder.name, file=path)
