"""What tests of decoders share."""

import importlib.util

import av
import numpy as np
import pytest
import torch


def _torchcodec():
    if importlib.util.find_spec("torchcodec") is None:
        return "torchcodec is not installed"
    try:
        import torchcodec.decoders  # noqa: F401
    except (ImportError, OSError, RuntimeError):
        return "torchcodec cannot be loaded here"
    return None


needs_torchcodec = pytest.mark.skipif(_torchcodec() is not None, reason=str(_torchcodec()))


def every_frame(path):
    """All frames from first to last, without any seeking: T C H W uint8."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)


def index_sets(frames, seed=0):
    """Clips to ask for: random, with repeats and backwards; first, last, all."""
    generator = torch.Generator().manual_seed(seed)
    last = frames - 1
    draws = [torch.randint(frames, (n,), generator=generator) for n in (1, 1, 2, 3, 5, 8, 16) * 2]
    fixed = [[0], [last], [last, 0, last], range(last, -1, -7), range(frames), [last // 2]]
    return [*(draw.tolist() for draw in draws), *map(list, fixed)]
