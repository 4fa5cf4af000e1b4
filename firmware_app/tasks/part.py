"""What every object of a manifest is made of: frozen models without unknown keys, and the kinds of values in them."""

from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Precision = Literal["fp32", "fp16", "int8"]
RuntimeName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]  # a runtime may come from elsewhere
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Interval = tuple[Probability, Probability]
Correlation = Annotated[float, Field(ge=-1.0, le=1.0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path:
        raise ValueError(f"{path!r} does not stay inside the pack")
    return path


PackPath = Annotated[str, AfterValidator(_inside)]


class Part(BaseModel):
    """One object of the manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Words(Part):
    """One text in the two languages of the box."""

    en: str = Field(min_length=1)
    zh: str = Field(min_length=1)

    def by_language(self) -> dict[str, str]:
        """The text under the box's language keys, ``en`` and ``zh_CN``."""
        return {"en": self.en, "zh_CN": self.zh}
