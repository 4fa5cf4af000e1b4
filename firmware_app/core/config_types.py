"""The kinds of values in the configuration file, and what all its sections have in common."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from firmware_app.core import runtimes
from firmware_app.core.language import LANGUAGES

# PS3.5 6.2, VR AE: at most 16 characters of the default repertoire without backslash or control characters.
AeTitle = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=16, pattern=r"^[ -\[\]-~]+$")
]
Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86400)]
Modality = Literal["CR", "DX", "RF", "XA", "MG", "US", "CT", "MR"]
Share = Annotated[float, Field(gt=0, lt=1)]
ResultKind = Literal["sr", "sc", "seg", "pr", "pdf", "picture"]
RESULT_KINDS: Final[tuple[ResultKind, ...]] = get_args(ResultKind)
ArchiveName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
FindingCode = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


def _check_network(text: str) -> str:
    ip_network(text, strict=False)
    return text


def _require_absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("give the whole path, from / on")
    return path


def _check_runtime(name: str) -> str:
    if name not in runtimes.list_runtimes():
        raise ValueError(f"the runtimes that are installed are {', '.join(runtimes.list_runtimes())}")
    return name


def _check_language(name: str) -> str:
    if name not in LANGUAGES:
        raise ValueError(f"the languages are {', '.join(LANGUAGES)}")
    return name


def _check_host_and_port(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) <= 65535:
        raise ValueError("give host:port, as in 192.168.1.20:104")
    return text


AbsolutePath = Annotated[Path, AfterValidator(_require_absolute)]
Language = Annotated[str, AfterValidator(_check_language)]
HostAndPort = Annotated[str, AfterValidator(_check_host_and_port)]
Network = Annotated[str, AfterValidator(_check_network)]
Runtime = Annotated[str, AfterValidator(_check_runtime)]


class ConfigSection(BaseModel):
    """A section of the file: frozen, and strict about its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)
