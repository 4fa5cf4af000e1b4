"""Requests to a process with more rights: one JSON file in a folder that only the asking process's group may write to.

systemd's path unit, or the supervisor, starts the process that answers.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from firmware_app.core.state_dir import clear_away, read_plain_file, sync_directory, write_atomically

log = logging.getLogger("lantern.requests")

MOST_BYTES: Final = 128 * 1024


class Message(BaseModel):
    """A request or its answer; every field is checked when it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Kind = TypeVar("Kind", bound=Message)


def write_message(path: Path, message: Message) -> None:
    """Put *message* at *path* durably, in place of an earlier one."""
    write_atomically(path, message.model_dump_json().encode("utf-8"), 0o640)
    sync_directory(path.parent)


def is_waiting(path: Path) -> bool:
    """Whether a request was not answered yet."""
    return os.path.lexists(path)


def read_message(path: Path, kind: type[Kind]) -> Kind | None:
    """The message at *path*, opened without following links; None when there is none that can be used."""
    try:
        data, _ = read_plain_file(path, MOST_BYTES + 1)
        return kind.model_validate_json(data) if len(data) <= MOST_BYTES else None
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        log.warning("%s cannot be used: %s", path.name, type(error).__name__)
        return None


def take_request(path: Path, kind: type[Kind]) -> Kind | None:
    """Read and remove a request; one that stays would start its service again and again."""
    request = read_message(path, kind)
    clear_away(path)
    return request
