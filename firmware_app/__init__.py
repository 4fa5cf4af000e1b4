"""Lantern's appliance: images come in, are read on the box, and only a sealed number leaves."""

__version__ = "0.2.0"
