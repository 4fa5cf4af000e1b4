"""How the box is: named checks, each answered with a sentence that says what to do.

A module here is one check; `lantern doctor`, the viewer's page and the technician's handbook find it by listing the
folder.  It has

    ORDER       when a technician would look at it
    NAMES       of its `Check`s: what people read for each
    HANDBOOK    the section of the handbook with its sentences
    examine(config, state) -> Iterator[Check]
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType


def list_checks() -> dict[str, ModuleType]:
    """Every check, in the order in which a technician would look."""
    names = [found.name for found in pkgutil.iter_modules(__path__) if found.name != "check"]
    modules = {name: importlib.import_module(f"{__name__}.{name}") for name in names}
    return dict(sorted(modules.items(), key=lambda item: int(item[1].ORDER)))


def list_check_names() -> dict[str, str]:
    """What people read for the name of each `Check`."""
    return {name: text for module in list_checks().values() for name, text in module.NAMES.items()}
