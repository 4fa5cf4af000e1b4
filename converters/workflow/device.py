"""Where networks learn: a GPU when PyTorch finds one, else the processor.  Never run on a GPU: we had none.

Films are changed, and model files made and judged, on the processor; a fit moves its batches here and brings the
network back.
"""

from contextlib import AbstractContextManager

import torch


def device() -> torch.device:
    """The first GPU that PyTorch can use, or the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def in_sixteen_bits() -> AbstractContextManager[None]:
    """bfloat16 where it is safe, on that device."""
    return torch.autocast(device().type, torch.bfloat16)
