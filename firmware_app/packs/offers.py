"""What a pack repository offers: ``index.json``, a signed target as the files that it names are.

Every file of a pack is a target ``NAME/VERSION/PATH``. A box that is older than the repository must still be able to
read the index, so unknown keys are ignored here, unlike in a manifest.
"""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from firmware_app.packs.manifest_types import LocalisedText, PackPath, Sha256

INDEX_FILE = "index.json"
METADATA_FOLDER = "metadata"
TARGETS_FOLDER = "targets"
NAME_PATTERN = r"^[a-z0-9][a-z0-9-]*$"
"""Of a pack; it becomes the name of a folder."""


def _check_plain(path: str) -> str:
    # A target's path becomes part of a URL and a file name on a FAT stick.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*", path):
        raise ValueError(f"{path!r} is no plain file name")
    return path


PlainPath = Annotated[PackPath, AfterValidator(_check_plain)]


def parse_version(version: str) -> tuple[int, ...]:
    """A version as numbers, so that ``1.10.0`` sorts after ``1.9.0``."""
    return tuple(int(part) for part in version.split("."))


class _IndexPart(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)


class OfferedFile(_IndexPart):
    """One file of a pack."""

    path: PlainPath
    sha256: Sha256
    bytes: int = Field(ge=0)


class PackOffer(_IndexPart):
    """One version of one pack."""

    name: str = Field(pattern=NAME_PATTERN)
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    title: LocalisedText
    files: tuple[OfferedFile, ...] = Field(min_length=1)

    @property
    def bytes(self) -> int:
        """How much room its files take."""
        return sum(file.bytes for file in self.files)

    def target(self, file: OfferedFile) -> str:
        """The target path of one of its files."""
        return f"{self.name}/{self.version}/{file.path}"


class RepositoryIndex(_IndexPart):
    """Everything that is offered."""

    schema_id: Literal["lantern.repository/1"] = Field("lantern.repository/1", alias="schema")
    packs: tuple[PackOffer, ...] = ()

    def find(self, name: str, version: str | None = None) -> PackOffer | None:
        """The pack's newest version, or the one that is asked for; ``None`` where it is not offered."""
        fitting = [pack for pack in self.packs if pack.name == name and version in (None, pack.version)]
        return max(fitting, key=lambda one: parse_version(one.version), default=None)
