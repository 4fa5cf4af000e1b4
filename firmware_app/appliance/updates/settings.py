"""Where this box looks for its software: as the configuration says, or as a technician has chosen on the page.

A flashed box has nobody who edits its configuration; root keeps the choice in ``channel/chosen.json``.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Final

from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir, sync_directory
from firmware_app.core.whole_files import read_plain, write_whole

ADDRESS: Final = re.compile(r"https?://[^\s/]+(/\S*)?", re.ASCII)
_NAME: Final = "chosen.json"
_MOST_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Chosen:
    """The address of the repository, empty for none, and whether what it offers is installed by night."""

    repository: str = ""
    automatic: bool = False


def chosen(config: Config, state: StateDir) -> Chosen:
    """What holds: the configuration's, where that names a repository."""
    if config.software.repository:
        return Chosen(config.software.repository, config.software.automatic)
    with suppress(OSError, ValueError, TypeError):
        data, _ = read_plain(state.channel / _NAME, _MOST_BYTES)
        kept = Chosen(**json.loads(data))
        if ADDRESS.fullmatch(kept.repository) and isinstance(kept.automatic, bool):
            return kept
    return Chosen()


def keep(state: StateDir, choice: Chosen) -> None:
    """Root's side: let *choice* hold from now on."""
    state.channel.mkdir(mode=0o755, exist_ok=True)
    write_whole(state.channel / _NAME, json.dumps(asdict(choice)).encode(), 0o644)
    sync_directory(state.channel)
