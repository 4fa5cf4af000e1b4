"""The configuration file: TOML, read together with overrides from the environment, written with a comment for each key.

Any key is overridden by ``LANTERN_<SECTION>__<KEY>``, one of a runtime by ``LANTERN_RUNTIMES__<RUNTIME>__<KEY>``.  Why
no library does this: docs/decisions/dependencies.md.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, JsonValue, ValidationError
from pydantic_core import PydanticUndefined

from firmware_app.config.sections import DEFAULT_PATH, Config, ConfigSection
from firmware_app.errors import ConfigInvalid, ConfigMissing, ConfigUnknownKey, ConfigUnreadable, RuntimeUnavailable
from firmware_app.runtimes import choice

_ENVIRONMENT_PREFIX: Final = "LANTERN_"


def load(path: Path | None = None, environment: Mapping[str, str] = os.environ) -> Config:
    """The configuration from *path* (default: `/etc/lantern/lantern.toml` when it exists) and the environment.

    Raises `ConfigMissing`, `ConfigUnreadable`, `ConfigUnknownKey` or `ConfigInvalid`.
    """
    tree: dict[str, Any] = {}
    if path is not None or DEFAULT_PATH.exists():
        tree = _read(path or DEFAULT_PATH)
    for path_of_key, value in _overrides(environment):
        branch: Any = tree
        for section in path_of_key[:-1]:
            branch = branch.setdefault(section, {}) if isinstance(branch, dict) else None
        if isinstance(branch, dict):
            branch[path_of_key[-1]] = value
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        raise _explain(error, Config) from None
    sections = {runtime: _checked(runtime, section) for runtime, section in config.runtimes.items()}
    return config.model_copy(update={"runtimes": sections})


def _checked(runtime: str, section: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """A runtime's section, checked by its module's ``Config``.  Raises `ConfigUnknownKey` or `ConfigInvalid`."""
    if runtime not in choice.installed():
        raise ConfigUnknownKey(key=f"runtimes.{runtime}", known=", ".join(choice.installed()))
    settings = _section(["runtimes", runtime])
    try:
        valid = settings.model_validate(section) if settings else None
    except ValidationError as error:
        raise _explain(error, settings, f"runtimes.{runtime}.") from None
    return valid.model_dump(mode="json", exclude_unset=True) if valid else section


def _section(names: list[str]) -> type[BaseModel] | None:
    """The model of a section; None for an unknown section, and for a runtime whose module cannot be imported."""
    if names[0] == "runtimes" and len(names) == 2:
        try:
            return choice.get(names[1]).Config
        except RuntimeUnavailable:
            return None
    field = Config.model_fields.get(names[0]) if len(names) == 1 else None
    model = field.annotation if field else None
    return model if isinstance(model, type) and issubclass(model, BaseModel) else None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigMissing(path=str(path)) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigUnreadable(path=str(path), detail=str(error)) from None


def _overrides(environment: Mapping[str, str]) -> list[tuple[list[str], Any]]:
    """``LANTERN_DICOM__PORT=0`` → ``(["dicom", "port"], "0")``; lists are comma-separated or JSON."""
    names = {
        name: name.removeprefix(_ENVIRONMENT_PREFIX).lower().split("__")
        for name in environment
        if name.startswith(_ENVIRONMENT_PREFIX) and "__" in name
    }
    return [(key, _parsed(key, environment[name])) for name, key in names.items()]


def _parsed(key: list[str], text: str) -> Any:
    """*text* as the type of value that the key takes; `Config` checks the value."""
    section = _section(key[:-1])
    field = section.model_fields.get(key[-1]) if section else None
    kind = getattr(field.annotation, "__origin__", None) if field else None
    if (kind is tuple and text.startswith("[")) or (kind is dict and text.startswith("{")):
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise ConfigInvalid(key=".".join(key), value=text[:80], detail=str(error)) from None
    items = [item.strip() for item in text.split(",") if item.strip()]
    if kind is tuple:
        return items
    if kind is dict:  # pneumonia=0.02,nodule=0.01
        return {name.strip(): value.strip() for name, _, value in (item.partition("=") for item in items)}
    return None if field and text == "" and field.default is None else text


def _explain(error: ValidationError, model: Any, prefix: str = "") -> ConfigUnknownKey | ConfigInvalid:
    first = error.errors()[0]
    key = prefix + ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        for part in first["loc"][:-1]:
            model = model.model_fields[part].annotation
        return ConfigUnknownKey(key=key, known=", ".join(model.model_fields))
    return ConfigInvalid(key=key, value=str(first["input"])[:80], detail=first["msg"])


def describe(config: Config) -> str:
    """*config* as TOML that `load` accepts, with every key's title and help as comments.

    The section of a runtime without settings is written as a comment: if it were a real section, uninstalling that
    runtime would make the file invalid.
    """
    lines: list[str] = []
    for name, value in config:
        if isinstance(value, ConfigSection):
            lines += _lines(name, type(value), value.model_dump(mode="json"))
    for key in sorted({*choice.installed(), *config.runtimes}):
        settings, given = _section(["runtimes", key]), config.runtimes.get(key)
        lines += _lines(f"runtimes.{key}", settings or ConfigSection, given or {}, hidden=given is None)
    return "\n".join(lines[1:]) + "\n"


def _lines(name: str, model: type[BaseModel], values: Mapping[str, Any], hidden: bool = False) -> list[str]:
    """One section; keys without a value in *values* are commented out, with their default."""
    lines = ["", f"# {(model.__doc__ or name).strip().splitlines()[0]}", f"{'# ' * hidden}[{name}]"]
    for key, field in model.model_fields.items():
        value = values.get(key)
        default = None if field.default is PydanticUndefined else field.default
        shown = f"{key} = {_toml(value)}" if value is not None else f"# {key} = {_toml(default)}".rstrip()
        lines.append(f"{shown}    # {field.title}: {field.description}")
    return lines + [f"{key} = {_toml(value)}" for key, value in values.items() if key not in model.model_fields]


def as_toml(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """The TOML of section → key → value; keys whose value is None are left out."""
    lines: list[str] = []
    for name, values in sections.items():
        lines += [f"[{name}]", *(f"{key} = {_toml(one)}" for key, one in values.items() if one is not None), ""]
    return "\n".join(lines)


def _toml(value: Any) -> str:
    """A value in TOML, which is JSON except for tables and U+007F; empty text for None."""
    if value is None:
        return ""
    if isinstance(value, dict):
        given = [f"{_key(key)} = {_toml(one)}" for key, one in value.items() if one is not None]
        return "{ " + ", ".join(given) + " }" if given else "{}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    """A key of a table: in quotation marks where TOML wants them."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml(name)
