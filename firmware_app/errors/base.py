"""The root of every error the box can name."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, Final

from firmware_app.language import register, say

_INSTALLED: Final = "/opt/lantern/venv"


def own_python() -> str:
    """The Python of this very installation, for sentences that say what to add to it; a box's by its lasting name."""
    installed = os.path.realpath(_INSTALLED) == os.path.realpath(sys.prefix)
    return f"{_INSTALLED if installed else sys.prefix}/bin/python"


class LanternError(Exception):
    """Root of the tree.  Subclasses are dataclasses whose fields are the placeholders of `sentence`."""

    code: ClassVar[str]
    sentence: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "code" in cls.__dict__:
            register(cls.code, cls.sentence)

    @property
    def details(self) -> Mapping[str, str | int | float]:
        """The placeholders' values, ready for storage as JSON."""
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]

    def text(self, language: str = "en") -> str:
        """The sentence a person reads, in *language* (``zh_CN`` or ``en``)."""
        return say(self.code, self.details, language)

    def __str__(self) -> str:
        return f"{self.code}: {self.text()}"
