"""Whether an image looks like what a pack learnt from, by what the pack says of one of its model files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from firmware_app.core.errors import PackArtefactMissing
from firmware_app.packs.shelf import Pack
from firmware_app.packs.tasks.typicality import Typicality


@dataclass(frozen=True, slots=True)
class Familiar:
    """The model, and the distance beyond which one model file's features count as unlike the training images'."""

    model: Typicality
    limit: float

    @classmethod
    def of(cls, pack: Pack, runtime: str, precision: str) -> Self | None:
        """What *pack* says of the file that *runtime* reads at this precision; ``None`` where it says nothing.

        Raises :class:`~firmware_app.core.errors.PackArtefactMissing`, and :class:`ValueError` for a file that holds
        none.
        """
        entry = pack.manifest.typicality
        limit = entry.limit_of(pack.described(runtime, precision)) if entry is not None else None
        if entry is None or limit is None:
            return None
        try:
            return cls(Typicality.load(pack.folder / entry.path), limit)
        except OSError as error:
            raise PackArtefactMissing(pack=pack.name, file=entry.path) from error
