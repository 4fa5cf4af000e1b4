"""Code streams of High-Throughput JPEG 2000 (ISO/IEC 15444-15), which nothing that the tests install can write.

Made once by OpenJPH 0.26.3 of the two patterns below, which show nobody.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Any, Final

import numpy as np

_DOWN, _ACROSS = np.mgrid[0:16, 0:12]


def draw_grey() -> np.ndarray[Any, Any]:
    """(16, 12) uint16 of 12 bits: what `GREY` holds exactly and `LOSSY` within one level."""
    return np.asarray((_DOWN * 173 + _ACROSS * 37) % 4096, np.uint16)


def draw_colour() -> np.ndarray[Any, Any]:
    """(16, 12, 3) uint8: what `COLOUR` holds exactly, through the reversible colour transform."""
    return np.stack([(_DOWN * 7 + _ACROSS) % 256, _ACROSS * 9 % 256, _DOWN * _ACROSS % 256], -1).astype(np.uint8)


GREY: Final = b64decode(
    "/0//UQApQAAAAAAMAAAAEAAAAAAAAAAAAAAADAAAABAAAAAAAAAAAAABDwEB/1AACAACAAAACv9SAAwAAgABAAUEBEAB/1wAEyCIkJCQkJCQkJ"
    "CQkJCQiIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAH4AAf+TwAAmnfgFB3QAAMAAE0AAEwB4/gIHdABY/AMHdADAABNAABOA"
    "c/4Ay3QAKEbxAKNUAMAAFTAABVCkJBLpl+ELdQAII0T4wCEAjLYAwAAroAAWgAiCIAiCIN4KenpwgngAWLGwsLCw/vwAGPYxgey5AP/Z"
)
COLOUR: Final = b64decode(
    "/0//UQAvQAAAAAAMAAAAEAAAAAAAAAAAAAAADAAAABAAAAAAAAAAAAADBwEBBwEBBwEB/1AACAACAAAAA/9SAAwAAgABAQUEBEAB/1wAEyBQWF"
    "hYWFhYWFhYWFhYUFBQ/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAATIAAf+TwBKAuwEHdADAEoDhAAd0AMARgABjAAAAAMAJYASw"
    "AlDiAId0APAAB3QA5AAHdADACWAEsAJQyQCHdADKAId0AJwBB3QAwAlgBKCHAQd0AP4Ah3QAwAkgBMD9G3MADBAAAFQAwAkgBLACMPwncwDMAC"
    "PUAAADAMAJIASg+htzAL4AA1QAwAqoAVUAJyAI4MUFm7D9tgAAAAH+KTOPzbYAAPgc9c21AMAJ4ATwAlCnGo4QA3UAQMzARIy1AODCRpQAwAqI"
    "ATjjGOOX4At1AN79wOSMtQDAFVAFQIBE2t6np6dCdwAC/fwXu+y2AMAVUAVMASjRaRDeEjlh8VcALJf8AMzpzlcA/v0ARADAFXAFUP9//3/ep6"
    "enQncATJL8/AT2Sey3AP/Z"
)
LOSSY: Final = b64decode(
    "/0//UQApQAAAAAAMAAAAEAAAAAAAAAAAAAAADAAAABAAAAAAAAAAAAABDwEB/1AACAACAAAAKv9SAAwAAgABAAUEBEAA/1wAIyK3GLbqtuq2vK"
    "8ArwCu4qdMp0ynZJADkAOQRpfSl9KXYf9kABcAAU9wZW5KUEggVmVyIDAuMjYuMy7/kAAKAAAAAAC2AAH/k8AAATi/2+AIB3QAAMAAAmgAAEx2"
    "/gMHdABy0ASHdADAAATQAAFWk5MBC3QAfYBcfUC5/gHGtADAABaUAAFrgJRuGwQEDU1LCwTEB/6CEPm3AAQMBAwEDOsYtI5B6xj0DGBnHCEBeL"
    "kAwAAW1AABbwAQ1vIe4FreA1zLe4BreQEmfyZ/Jn4Arwt8AFSKoiiqh2UPlj0sPSx7WHpY/j0YpjGBTdCNcmo8AP/Z"
)
