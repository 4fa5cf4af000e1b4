"""Lantern's appliance: it takes in images, reads them, and sends out nothing but a sealed summary."""

import os

# Without it pydantic looks for plug-ins in the metadata of every installed distribution, at the start of each process.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

__version__ = "0.2.0"
