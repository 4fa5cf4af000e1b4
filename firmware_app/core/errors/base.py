"""The root of every error the box can name."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, Final, dataclass_transform

from firmware_app.core.language import register, render_sentence

_INSTALLED: Final = "/opt/lantern/venv"


@cache
def own_python() -> str:
    """The Python of this very installation, for sentences that say what to add to it; a box's by its lasting name."""
    installed = os.path.realpath(_INSTALLED) == os.path.realpath(sys.prefix)
    return f"{_INSTALLED if installed else sys.prefix}/bin/python"


@dataclass_transform(eq_default=False)
class LanternError(Exception):
    """Root of the tree.  The annotated attributes of a subclass are the placeholders of its `sentence`, and the
    arguments of its constructor, as in a dataclass.

    They are no dataclasses: to generate the methods of 300 classes took each process of the box 45 ms at its start.
    """

    code: ClassVar[str]
    sentence: ClassVar[str]
    placeholders: ClassVar[tuple[str, ...]] = ()
    unsaid: ClassVar[tuple[str, ...]] = ()
    """Placeholders that are kept with the error for whoever repairs the box, in English, and not in the sentence."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = (name for name, kind in cls.__annotations__.items() if not str(kind).startswith("ClassVar"))
        cls.placeholders = (*cls.placeholders, *own)
        if "code" in cls.__dict__:
            register(cls.code, cls.sentence)

    def __init__(self, *values: str | float, **named: str | float) -> None:
        given = dict(zip(self.placeholders, values, strict=False)) | named
        missing = [name for name in self.placeholders if name not in given and not hasattr(type(self), name)]
        if missing or len(given) < len(values) + len(named) or not given.keys() <= set(self.placeholders):
            raise TypeError(f"{type(self).__name__} takes {', '.join(self.placeholders) or 'nothing'}, each once")
        for name, value in given.items():
            setattr(self, name, value)

    @property
    def details(self) -> Mapping[str, str | int | float]:
        """The placeholders' values, ready for storage as JSON."""
        return {name: getattr(self, name) for name in self.placeholders}

    def text(self, language: str = "en") -> str:
        """The sentence a person reads, in *language* (one of `language.LANGUAGES`)."""
        return render_sentence(self.code, self.details, language)

    def __str__(self) -> str:
        unsaid = "; ".join(str(getattr(self, name)) for name in self.unsaid)
        return f"{self.code}: {self.text()}" + (f" ({unsaid})" if unsaid else "")
