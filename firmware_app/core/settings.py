"""The box's configuration: `Config` and its sections, and the TOML file that holds it.

The file is read together with overrides from the environment: ``LANTERN_<SECTION>__<KEY>`` overrides any key,
``LANTERN_RUNTIMES__<RUNTIME>__<KEY>`` one of a runtime.  A file is written with a comment for each key.  Why no library
does this: docs/decisions/dependencies.md.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast, get_args

from pydantic import BaseModel, JsonValue, ValidationError
from pydantic_core import PydanticUndefined

from firmware_app.core import runtimes
from firmware_app.core.config_sections import DEFAULT_PATH as DEFAULT_PATH
from firmware_app.core.config_sections import BackupSection as BackupSection
from firmware_app.core.config_sections import BoxSection as BoxSection
from firmware_app.core.config_sections import Config as Config
from firmware_app.core.config_sections import DicomSection as DicomSection
from firmware_app.core.config_sections import DicomwebSection as DicomwebSection
from firmware_app.core.config_sections import ExportSection as ExportSection
from firmware_app.core.config_sections import FhirSection as FhirSection
from firmware_app.core.config_sections import FolderSection as FolderSection
from firmware_app.core.config_sections import PacksSection as PacksSection
from firmware_app.core.config_sections import ReaderSection as ReaderSection
from firmware_app.core.config_sections import RetentionSection as RetentionSection
from firmware_app.core.config_sections import ReviewSection as ReviewSection
from firmware_app.core.config_sections import SoftwareSection as SoftwareSection
from firmware_app.core.config_sections import StateSection as StateSection
from firmware_app.core.config_sections import UplinkSection as UplinkSection
from firmware_app.core.config_sections import UsbSection as UsbSection
from firmware_app.core.config_sections import ViewerSection as ViewerSection
from firmware_app.core.config_source import ConfigSource as ConfigSource
from firmware_app.core.config_source import Keys
from firmware_app.core.config_types import AeTitle as AeTitle
from firmware_app.core.config_types import ConfigSection
from firmware_app.core.errors import CONFIG_INVALID, CONFIG_UNKNOWN_KEY, ConfigError, RuntimeUnavailable
from firmware_app.core.peer_sections import PacsSection as PacsSection
from firmware_app.core.peer_sections import WorklistSection as WorklistSection

_ENVIRONMENT_PREFIX: Final = "LANTERN_"


def load_config(path: Path | None = None, environment: Mapping[str, str] = os.environ) -> Config:
    """The configuration from *path* (default: `/etc/lantern/lantern.toml` when it exists) and the environment.

    Raises `ConfigError`.
    """
    return load_config_with_source(path, environment)[0]


def load_config_with_source(
    path: Path | None = None, environment: Mapping[str, str] = os.environ
) -> tuple[Config, ConfigSource]:
    """The configuration as `load_config` gives it, and where each of its values was written.  Raises `ConfigError`."""
    variables = {
        tuple(name.removeprefix(_ENVIRONMENT_PREFIX).lower().split("__")): name
        for name in environment
        if name.startswith(_ENVIRONMENT_PREFIX) and "__" in name
    }
    source = ConfigSource(variables=variables)
    if path is not None or DEFAULT_PATH.exists():
        source = ConfigSource.from_file(path or DEFAULT_PATH, variables)
    tree = source.parse()
    for keys, name in variables.items():
        branch: Any = tree
        for section in keys[:-1]:
            branch = branch.setdefault(section, {}) if isinstance(branch, dict) else None
        if isinstance(branch, dict):
            branch[keys[-1]] = _parse_variable(keys, environment[name], name)
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        raise _explain(error, Config, source) from None
    sections = {
        runtime: _check_runtime_section(runtime, section, source) for runtime, section in config.runtimes.items()
    }
    return config.model_copy(update={"runtimes": sections}), source


def _check_runtime_section(runtime: str, section: dict[str, JsonValue], source: ConfigSource) -> dict[str, JsonValue]:
    """A runtime's section, checked by its module's ``Config``.  Raises `CONFIG_UNKNOWN_KEY` or `CONFIG_INVALID`."""
    keys = ("runtimes", runtime)
    if runtime not in runtimes.list_runtimes():
        raise CONFIG_UNKNOWN_KEY(
            key=".".join(keys), place=source.locate(keys), known=", ".join(runtimes.list_runtimes())
        )
    settings = _find_model(keys)
    try:
        valid = settings.model_validate(section) if settings else None
    except ValidationError as error:
        raise _explain(error, settings, source, keys) from None
    return valid.model_dump(mode="json", exclude_unset=True) if valid else section


def _find_model(keys: Keys) -> type[BaseModel] | None:
    """The model of the section at *keys*; None where there is none, and for a runtime that cannot be imported."""
    if keys[:1] == ("runtimes",):
        try:
            return cast(type[BaseModel], runtimes.import_runtime(str(keys[1])).Config) if len(keys) == 2 else None
        except RuntimeUnavailable:
            return None
    return _find_nested_model(Config, keys)


def _find_nested_model(model: type[BaseModel], keys: Keys) -> type[BaseModel] | None:
    """The model that *model* has at *keys*: of a field, or of the values of a field that is a table."""
    kind: Any = model
    for key in keys:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            field = kind.model_fields.get(str(key))
            kind = field.annotation if field else None
        else:  # dict[str, ArchiveSection]
            kind = get_args(kind)[-1] if get_args(kind) else None
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _parse_variable(keys: tuple[str, ...], text: str, variable: str) -> Any:
    """The *text* of a variable as the type of value that the key takes (lists are comma-separated or JSON); `Config`
    checks the value.  Raises `CONFIG_INVALID`."""
    section = _find_model(keys[:-1])
    field = section.model_fields.get(keys[-1]) if section else None
    kind = getattr(field.annotation, "__origin__", None) if field else None
    if (kind is tuple and text.startswith("[")) or (kind is dict and text.startswith("{")):
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise CONFIG_INVALID(key=".".join(keys), place=variable, value=text[:80], detail=str(error)) from None
    items = [item.strip() for item in text.split(",") if item.strip()]
    if kind is tuple:
        return items
    if kind is dict:  # pneumonia=0.02,nodule=0.01
        return {name.strip(): value.strip() for name, _, value in (item.partition("=") for item in items)}
    return None if field and text == "" and field.default is None else text


def _explain(error: ValidationError, model: Any, source: ConfigSource, above: tuple[str, ...] = ()) -> ConfigError:
    """The first thing that pydantic found wrong, with its key and where it was written."""
    first = error.errors()[0]
    keys = (*above, *first["loc"])
    key, place = ".".join(map(str, keys)), source.locate(keys)
    if first["type"] == "extra_forbidden":
        section = _find_nested_model(model, first["loc"][:-1])
        return CONFIG_UNKNOWN_KEY(key=key, place=place, known=", ".join(section.model_fields if section else ()))
    return CONFIG_INVALID(key=key, place=place, value=str(first["input"])[:80], detail=first["msg"])


def describe_config(config: Config) -> str:
    """*config* as TOML that `load_config` accepts, with every key's title and help as comments.

    The section of a runtime without settings is written as a comment: if it were a real section, uninstalling that
    runtime would make the file invalid.
    """
    lines: list[str] = []
    for name, value in config:
        if isinstance(value, ConfigSection):
            lines += _section_lines(name, type(value), value.model_dump(mode="json"))
    for key in sorted({*runtimes.list_runtimes(), *config.runtimes}):
        settings, given = _find_model(("runtimes", key)), config.runtimes.get(key)
        lines += _section_lines(f"runtimes.{key}", settings or ConfigSection, given or {}, hidden=given is None)
    return "\n".join(lines[1:]) + "\n"


def _section_lines(name: str, model: type[BaseModel], values: Mapping[str, Any], hidden: bool = False) -> list[str]:
    """One section; keys without a value in *values* are commented out, with their default."""
    lines = ["", f"# {(model.__doc__ or name).strip().splitlines()[0]}", f"{'# ' * hidden}[{name}]"]
    below: list[str] = []
    for key, field in model.model_fields.items():
        value = values.get(key)
        default = None if field.default is PydanticUndefined else field.default
        if isinstance(value, dict) and value == _to_plain(field.get_default(call_default_factory=True)):
            default, value = value, None  # a table of its own can be added then: TOML has each table once
        elif isinstance(value, dict) and _find_nested_model(model, (key,)) is not None:
            below += _to_toml_table(f"{name}.{key}", value)
            continue
        elif isinstance(value, dict) and any(isinstance(one, dict) for one in value.values()):
            below += [
                line
                for inner, one in value.items()
                for line in _to_toml_table(f"{name}.{key}.{_quote_key(inner)}", one)
            ]
            continue
        shown = (
            f"{key} = {_to_toml_value(value)}" if value is not None else f"# {key} = {_to_toml_value(default)}".rstrip()
        )
        lines.append(f"{shown}    # {field.title}: {field.description}")
    lines += below
    return lines + [
        f"{key} = {_to_toml_value(value)}" for key, value in values.items() if key not in model.model_fields
    ]


def _to_plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def _to_toml_table(name: str, values: Mapping[str, Any]) -> list[str]:
    return [
        "",
        f"[{name}]",
        *(f"{key} = {_to_toml_value(value)}" for key, value in values.items() if value is not None),
    ]


def to_toml(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """The TOML of section → key → value; keys whose value is None are left out."""
    lines: list[str] = []
    for name, values in sections.items():
        lines += [
            f"[{name}]",
            *(f"{key} = {_to_toml_value(one)}" for key, one in values.items() if one is not None),
            "",
        ]
    return "\n".join(lines)


def _to_toml_value(value: Any) -> str:
    """A value in TOML, which is JSON except for tables and U+007F; empty text for None."""
    if value is None:
        return ""
    if isinstance(value, dict):
        given = [f"{_quote_key(key)} = {_to_toml_value(one)}" for key, one in value.items() if one is not None]
        return "{ " + ", ".join(given) + " }" if given else "{}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _quote_key(name: str) -> str:
    """A key of a table: in quotation marks where TOML wants them."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _to_toml_value(name)
