"""Lantern's appliance: images come in, are read on the box, and only a sealed number leaves."""

import os

# Else pydantic asks every installed distribution for plug-ins: each process would read their metadata at its start.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

__version__ = "0.2.0"
