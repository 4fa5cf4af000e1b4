"""The words of a pack: what people decided and no program can compute. One TOML beside the recipe."""

import tomllib
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from converters.failures import RecipeInvalid
from converters.packing import licences
from firmware_app.packs import manifest_types
from firmware_app.packs.evidence import ReferenceImage
from firmware_app.packs.manifest import FollowUpRules
from firmware_app.packs.manifest_types import LocalisedText
from firmware_app.packs.requirements import Hardware, QualityPolicy, Route


class WordsTable(BaseModel):
    """One table."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FindingWords(WordsTable):
    """A finding that the pack looks for; ``unit`` is that of a grade or a measured number."""

    code: str
    label: LocalisedText
    priority: Literal["urgent", "soon"]
    unit: LocalisedText | None = None


class Source(WordsTable):
    """A data set; ``counted``: its numbers of films and patients are those of the recipe's data."""

    name: str
    licence: str
    citation: str
    use: str
    counted: bool = False
    n_images: int = 0
    n_patients: int | None = None


class Cited(WordsTable):
    """A set that judges the pack elsewhere, by the name of its row: whose it is."""

    name: str
    licence: str
    citation: str


class PackWords(WordsTable):
    """Everything in a manifest that is not computed. ``drawn_as``: the body of the pack's drawn phantoms.
    ``not_looked_for``: a short list that the doctor sees beside every result ("nodules and masses, fractures").

    A pack of one finding has ``[finding]``, one of several ``[[findings]]``.
    """

    title: LocalisedText
    drawn_as: Literal["child", "adult", "ultrasound", "volume"]
    route: Route
    finding: FindingWords | None = None
    findings: tuple[FindingWords, ...] = ()
    intended_use: LocalisedText
    not_for: LocalisedText
    not_looked_for: LocalisedText | None = None
    weak_points: tuple[LocalisedText, ...] = Field(min_length=1)
    data: tuple[Source, ...] = Field(min_length=1)
    elsewhere: tuple[Cited, ...] = ()
    references: tuple[ReferenceImage, ...] = ()
    quality: QualityPolicy = QualityPolicy()
    weights_licence: str | None = Field(None, pattern=manifest_types.SPDX_PATTERN)
    """Of the weights, an SPDX identifier; unsaid it follows from the data (:mod:`converters.packing.licences`)."""
    follow_up: FollowUpRules | None = None
    hardware: Hardware = Hardware()

    @property
    def named(self) -> tuple[FindingWords, ...]:
        """Every finding."""
        return self.findings or ((self.finding,) if self.finding is not None else ())

    @model_validator(mode="after")
    def _check_licence(self) -> Self:
        licences.find_weights_licence(self.weights_licence, [(source.name, source.licence) for source in self.data])
        return self

    @model_validator(mode="after")
    def _either(self) -> Self:
        if (self.finding is None) == (not self.findings):
            raise ValueError("write one [finding] or several [[findings]]")
        return self


def load_words(path: Path) -> PackWords:
    """Read the words of a pack. Raises :class:`RecipeInvalid` with the key that is wrong."""
    try:
        return PackWords.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise RecipeInvalid(str(path), str(error)) from error
