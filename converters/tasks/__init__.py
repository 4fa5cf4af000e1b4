"""What a model is for, one module a task (docs/adding-a-task.md): targets, loss, answers, gates and words of the card.

A task is an instance of :class:`converters.tasks.interface.Task`, named by an entry point of the group
``lantern.converter_tasks`` under the key that recipes and manifests use. Our own are known without it: a checkout works
before it has been installed anew, and no other package takes their names. No module here imports PyTorch at its top,
so that ``lantern-convert evaluate`` works without it.
"""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Final

from converters.tasks.interface import Task

GROUP: Final = "lantern.converter_tasks"
OWN: Final[Mapping[str, str]] = {
    "boxes": "converters.tasks.boxes:task",
    "classify": "converters.tasks.classify:task",
    "lesions": "converters.tasks.lesions:task",
    "segment": "converters.tasks.segment:task",
}
"""Key → where the task is."""


@cache
def list_tasks() -> Mapping[str, str]:
    """Key → where the task is: our own, then the others that are installed, by name."""
    others = {point.name: point.value for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}
    return {**others, **OWN}


@cache
def get(key: str) -> Task:
    """The task called ``key``; raises :class:`LookupError` for an unknown name or a module that cannot be imported."""
    place = list_tasks().get(key)
    if place is None:
        raise LookupError(f"there is no task {key}; known are {', '.join(list_tasks())}")
    module, _, name = place.partition(":")
    try:
        task = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise LookupError(f"the task {key} cannot be imported from {place}: {error}") from error
    if not isinstance(task, Task):
        raise LookupError(f"{place} is a {type(task).__name__}, not a converters.tasks.interface.Task")
    return task
