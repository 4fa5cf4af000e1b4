"""The types that a manifest is made of: frozen models without unknown keys, and the kinds of values in them.

Among the values is the licence of the weights: an SPDX identifier, and how people read it.
"""

import re
from pathlib import PurePosixPath
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel, model_validator

from firmware_app.core.language import ENGLISH

_FULL_LOCALE: Final = {"zh": "zh_CN"}

Precision = Literal["fp32", "fp16", "int8"]
RuntimeName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]  # a runtime may come from elsewhere
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Interval = tuple[Probability, Probability]
Correlation = Annotated[float, Field(ge=-1.0, le=1.0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _check_inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path:
        raise ValueError(f"{path!r} does not stay inside the pack")
    return path


PackPath = Annotated[str, AfterValidator(_check_inside)]


class ManifestPart(BaseModel):
    """One object of the manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


_Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}(_[A-Za-z]{2,4})?$")]


class LocalisedText(RootModel[dict[_Language, Annotated[str, Field(min_length=1)]]]):
    """One text in several languages, English always among them: ``{"en": "Pneumonia", "zh": "肺炎"}``."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    @model_validator(mode="after")
    def _has_english(self) -> Self:
        if ENGLISH not in self.root:
            raise ValueError("the English text is absent")
        return self

    @property
    def en(self) -> str:
        return self.root[ENGLISH]

    @property
    def zh(self) -> str:
        """The Chinese text, for pages that show it beside the English one."""
        return self.text("zh_CN")

    def by_language(self) -> dict[str, str]:
        """The text by the box's names of languages: ``zh``, as packs have it, is ``zh_CN``."""
        return {_FULL_LOCALE.get(language, language): text for language, text in self.root.items()}

    def text(self, language: str) -> str:
        """The text in *language*, or in English."""
        return self.by_language().get(language, self.en)


SPDX_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9.+-]*( (AND|OR|WITH) [A-Za-z0-9][A-Za-z0-9.+-]*)*$"
_CREATIVE_COMMONS: Final = re.compile(r"\bCC-((?:BY|NC|SA|ND)(?:-(?:BY|NC|SA|ND))*)-(\d\.\d)")
_NON_COMMERCIAL: Final = re.compile(r"(?<![A-Za-z0-9])NC(?![A-Za-z0-9])", re.IGNORECASE)


def is_non_commercial(licence: str) -> bool:
    """Whether an SPDX identifier is one that rules out commercial use."""
    return _NON_COMMERCIAL.search(licence) is not None


def format_licence(licence: str | None) -> str:
    """As people write it: ``CC BY-NC 4.0`` for ``CC-BY-NC-4.0``; ``–`` where a pack does not say."""
    return "–" if licence is None else _CREATIVE_COMMONS.sub(r"CC \1 \2", licence)


def describe_licence(licence: str | None) -> str:
    """A sentence on the licence of a pack's weights."""
    if licence is None:
        return "This pack does not say under which licence its weights may be used."
    commercial = ": not for commercial use." if is_non_commercial(licence) else "."
    return f"Its weights may be used under {format_licence(licence)}{commercial}"
