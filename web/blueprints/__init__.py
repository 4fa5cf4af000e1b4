"""The pages of the viewer: each module has a `blueprint` and is found by listing the folder."""

from __future__ import annotations

import importlib
import pkgutil

from flask import Blueprint

FIRST_PAGE = "provisioning"
"""Served only by a box without an identity; it loads 12 MB."""


def list_blueprints() -> list[Blueprint]:
    """Every page but the first one."""
    names = [found.name for found in pkgutil.iter_modules(__path__) if found.name != FIRST_PAGE]
    return [importlib.import_module(f"{__name__}.{name}").blueprint for name in names]
