"""The fastest way PyTorch runs a network as it is: a baseline must not be slow by accident."""

from __future__ import annotations

from copy import deepcopy
from itertools import product

import torch
from torch import Tensor, nn

from videowino.timing import time_models

CHANNELS_FIRST, CHANNELS_LAST = "channels first", "channels last"
_FORMATS = {CHANNELS_FIRST: torch.contiguous_format, CHANNELS_LAST: torch.channels_last_3d}
EAGER, ONEDNN = "eager", "oneDNN"


def in_fastest_form(
    model: nn.Module, example: Tensor, *, budget: float = 0.5, threads: int | None = None
) -> tuple[nn.Module, str]:
    """The network in whichever form it runs fastest on a batch, of those that compute the same.

    Forms differ in memory layout (which one is faster depends on network, clip and machine) and,
    on a CPU, in whether Conv3d is forced to oneDNN: at batch 1 PyTorch takes small convolutions to
    a generic routine that is several times slower, and dense networks would look slow by it. At
    another batch size another form may be the fastest.

    Args:
        model: left as it is.
        example: (N, C, T, H, W), of the batch size in question, on the network's device.
        budget: seconds to spend on timing the forms; each is timed three times at least.
        threads: torch's intra-op threads; None keeps the present number.

    Returns:
        A copy that takes the same input, and the name of its form, as "oneDNN, channels last".
    """
    paths = [EAGER, ONEDNN] if _has_onednn(example) else [EAGER]
    forms: dict[str, nn.Module] = {}
    for path, layout in product(paths, (CHANNELS_FIRST, CHANNELS_LAST)):
        form = deepcopy(model)
        if path == ONEDNN:
            _force_onednn(form)
        _lay(form, layout)
        forms[f"{path}, {layout}"] = form
    found = time_models(forms, example, budget=budget, min_repeats=3, warmup=1, threads=threads)
    fastest = min(forms, key=lambda name: found[name].median)
    return forms[fastest], fastest


class OneDnnConv3d(nn.Module):
    """A Conv3d that always runs in oneDNN; for inference on a CPU.

    Args:
        conv: zero-padded by numbers, see `fits`.
    """

    def __init__(self, conv: nn.Conv3d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self._settings = (conv.padding, conv.stride, conv.dilation, conv.groups)

    @staticmethod
    def fits(module: nn.Module) -> bool:
        """Whether a module is a Conv3d that this class can stand in for."""
        return (
            isinstance(module, nn.Conv3d)
            and type(module).forward is nn.Conv3d.forward
            and type(module)._conv_forward is nn.Conv3d._conv_forward
            and module.padding_mode == "zeros"
            and not isinstance(module.padding, str)
            and module.weight.dtype == torch.float32
        )

    def forward(self, x: Tensor) -> Tensor:
        """x: N C D H W."""
        return torch.ops.aten.mkldnn_convolution(x, self.weight, self.bias, *self._settings)


def _has_onednn(example: Tensor) -> bool:
    return example.device.type == "cpu" and torch.backends.mkldnn.is_available()


def _force_onednn(model: nn.Module) -> None:
    swaps = {m: OneDnnConv3d(m) for m in model.modules() if OneDnnConv3d.fits(m)}  # type: ignore[arg-type]
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):
            if child in swaps:
                parent._modules[name] = swaps[child]


def _lay(model: nn.Module, layout: str) -> None:
    kind = _FORMATS[layout]
    model.to(memory_format=kind)  # type: ignore[call-overload]
    model.register_forward_pre_hook(lambda _, args: (args[0].contiguous(memory_format=kind),))
