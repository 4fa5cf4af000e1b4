"""What all tables of a recipe have in common."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from firmware_app.packs.runtimes import registry


def _find_installed(runtime: str) -> str:
    if runtime not in registry.list_runtimes():
        raise ValueError(f"the runtimes that are installed are {', '.join(registry.list_runtimes())}")
    return runtime


RuntimeName = Annotated[str, AfterValidator(_find_installed)]

Share = Field(ge=0.0, le=1.0)


class Table(BaseModel):
    """One table of a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True)
