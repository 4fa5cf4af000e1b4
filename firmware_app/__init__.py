"""Lantern's appliance: it takes images, reads them and sends out a sealed summary; a whole case leaves by hand only."""

import os

# Without it pydantic looks for plug-ins in the metadata of every installed distribution, at the start of each process.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

__version__ = "0.2.0"
