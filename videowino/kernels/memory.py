"""Memory for large results, used again after they are freed.

A fresh result of 50 MB is mapped page by page while it is written, which takes longer than the
convolution itself. PyTorch's CPU allocator gives such blocks back to the system at once; this one
keeps some.
"""

import ctypes
import mmap
import threading
import weakref
from collections.abc import Sequence

import torch
from torch import Tensor

#: Smaller results come from PyTorch's allocator, which serves them without new pages.
SMALLEST = 1 << 20
#: Freed blocks are kept up to this many bytes in all.
KEEP = 512 << 20
_PAGE = 2 << 20


class Pool:
    """Blocks of memory that go round: leased to a tensor, back when its storage is freed.

    Args:
        keep: Bytes of free blocks to keep; what is above goes back to the system.
    """

    def __init__(self, keep: int = KEEP) -> None:
        self.keep = keep
        self._free: list[mmap.mmap] = []
        self._lock = threading.RLock()  # a finalizer may run inside `empty`

    def empty(self, shape: Sequence[int], memory_format: torch.memory_format) -> Tensor:
        """As `torch.empty(shape, dtype=float32, memory_format=...)`, N C D H W."""
        wanted = 4
        for size in shape:
            wanted *= size
        if wanted < SMALLEST:
            return torch.empty(
                tuple(shape), dtype=torch.float32, device="cpu", memory_format=memory_format
            )
        block = self._take(-(-wanted // _PAGE) * _PAGE)
        lease = (ctypes.c_char * wanted).from_buffer(block)
        weakref.finalize(lease, self._give_back, block).atexit = False
        storage = torch.frombuffer(lease, dtype=torch.float32).untyped_storage()
        n, c, d, h, w = shape
        strides = (c * d * h * w, d * h * w, h * w, w, 1)
        if memory_format == torch.channels_last_3d:
            strides = (c * d * h * w, 1, c * h * w, c * w, c)
        # No view: autograd lets nobody write into one that an operator returned, such as a ReLU in
        # place behind the convolution.
        return torch.empty(0).set_(storage, 0, tuple(shape), strides)

    def flat(self, count: int) -> Tensor:
        """As `torch.empty(count, dtype=float32)`."""
        return self.empty((1, 1, 1, 1, count), torch.contiguous_format).view(-1)

    @property
    def kept(self) -> int:
        """Bytes of the free blocks."""
        with self._lock:
            return sum(len(block) for block in self._free)

    def _take(self, size: int) -> mmap.mmap:
        with self._lock:
            fits = [block for block in self._free if size <= len(block) <= 2 * size]
            if fits:
                best = min(fits, key=len)
                self._free.remove(best)
                return best
        try:
            block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except OSError as error:
            raise MemoryError(f"no memory for a result of {size / 1e9:.1f} GB") from error
        if hasattr(mmap, "MADV_HUGEPAGE"):
            block.madvise(mmap.MADV_HUGEPAGE)
        return block

    def _give_back(self, block: mmap.mmap) -> None:
        with self._lock:
            self._free.append(block)
            while self._free and self.kept > self.keep:
                self._free.pop(0)  # the one unused for longest


pool = Pool()
