"""Which 3D convolutions the Winograd algorithm can take."""

from collections.abc import Sequence

from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from videowino.winograd.tile import MAX_STRIDE, TAPS

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def ineligible_reason(conv: nn.Conv3d, strided: bool = False) -> str | None:
    """Why a Conv3d cannot be swapped, in a few words; None where it can.

    Args:
        conv: Any.
        strided: Whether strides of 2 are asked for.
    """
    kind = type(conv)
    if (kind.forward, kind._conv_forward) != (nn.Conv3d.forward, nn.Conv3d._conv_forward):
        return f"a {kind.__name__} computes in its own way"
    if is_parametrized(conv):
        return "its weight is parametrized; remove the parametrization first"
    if any(getattr(conv, hooks) for hooks in _HOOKS):
        return "it has hooks, which a swap would lose"
    if max(conv.stride) > (MAX_STRIDE if strided else 1):
        return f"stride {_times(conv.stride)}"
    if tuple(conv.dilation) != (1, 1, 1):
        return f"dilation {_times(conv.dilation)}"
    if conv.groups != 1:
        return f"{conv.groups} groups"
    if max(conv.kernel_size) == 1:
        return "kernel 1x1x1, nothing to save"
    if all(taps <= step for taps, step in zip(conv.kernel_size, conv.stride, strict=True)):
        return f"kernel {_times(conv.kernel_size)} with stride as long, nothing to save"
    if any(taps not in TAPS for taps in conv.kernel_size):
        return f"kernel {_times(conv.kernel_size)}, taps other than {', '.join(map(str, TAPS))}"
    return None


def _times(values: Sequence[int]) -> str:
    return "x".join(map(str, values))
