"""Which tasks there are, by entry point; a task's module is imported when a manifest names it.

A task is a module named by an entry point of the group ``lantern.tasks``, so another package can bring one. Our own are
known without it: a checkout works before it has been installed anew, and no other package takes their names.
"""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Final, cast

from firmware_app.packs.tasks.interface import Task

GROUP: Final = "lantern.tasks"
OWN_TASKS: Final = {
    "boxes": "firmware_app.packs.tasks.boxes",
    "classify": "firmware_app.packs.tasks.classify",
    "lesions": "firmware_app.packs.tasks.lesions",
    "segment": "firmware_app.packs.tasks.segment",
}
"""Key → its module."""


@cache
def list_task_modules() -> Mapping[str, str]:
    """Key → the task's module: our own, then the others that are installed, by name."""
    others = {point.name: point.value for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}
    return OWN_TASKS | {key: module for key, module in others.items() if key not in OWN_TASKS}


def get_task(key: str) -> Task:
    """The task called ``key``; raises :class:`LookupError` for a name that nobody has, or whose module is broken."""
    known = OWN_TASKS.get(key) or list_task_modules().get(
        key
    )  # entry points are looked through only for a task of somebody else
    if known is None:
        raise LookupError(key)
    try:
        return cast(Task, import_module(known))
    except (ImportError, OSError) as error:
        raise LookupError(key) from error
