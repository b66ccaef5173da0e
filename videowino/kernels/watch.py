"""Values of tensors, looked at to see whether somebody has written to them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from videowino.kernels import native

#: Looked at in a tensor that is not small. Writes to `.data` leave no other trace; training steps
#: change all values.
SAMPLES = 32
#: Smaller ones are looked at as a whole: a single gate may be what has changed.
SMALL = 1 << 12


@dataclass(frozen=True)
class Watch:
    """Some values of a tensor as they were.

    Attributes:
        data: Where they are.
        bytes: How long the tensor is.
        step: Every so many words are looked at.
        value: A number that changes with them.
    """

    data: int
    bytes: int
    step: int
    value: int

    @classmethod
    def of(cls, part: Tensor) -> "Watch | None":
        """None where the tensor does not fill one piece of memory."""
        if not is_dense(part):
            return None
        size = part.numel() * part.element_size()
        step = 1 if size <= SMALL else size // (4 * SAMPLES)
        data = part.data_ptr()
        return cls(data, size, step, fingerprint(data, size, step))


def fingerprint(data: int, size: int, step: int) -> int:
    """A number that changes with every `step`-th word of so many bytes."""
    library = native.library()
    assert library is not None
    return library.vw_fingerprint(data, size, step)


def is_dense(part: Tensor) -> bool:
    """Whether the values fill one piece of memory, in any order of dimensions."""
    if part.is_contiguous():
        return True
    if part.dim() == 5 and part.is_contiguous(memory_format=torch.channels_last_3d):
        return True
    size = 1
    for length, step in sorted(zip(part.shape, part.stride(), strict=True), key=lambda d: d[1]):
        if length > 1 and step != size:
            return False
        size *= length
    return True
