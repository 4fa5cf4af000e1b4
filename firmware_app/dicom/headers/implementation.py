"""Who the box says it is, in every association and every file that it writes (PS3.7 D.3.3.2, PS3.10 7.1)."""

from __future__ import annotations

from typing import Final

CLASS_UID: Final = "2.25.181007716306648637370933937661982833095"
"""Our own root under the UUID-derived arc (PS3.5 B.2), which needs no registration."""
VERSION_NAME: Final = "LANTERN_1"
