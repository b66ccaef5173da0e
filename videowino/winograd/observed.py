"""Whether something looks at operators as they run, so that none may be passed by."""

import torch
from torch import Tensor

_dispatch_modes = getattr(torch._C, "_len_torch_dispatch_stack", None)
_function_modes = getattr(torch._C, "_len_torch_function_stack", None)
_functorch = getattr(getattr(torch._C, "_functorch", None), "peek_interpreter_stack", None)


def is_observed(x: Tensor) -> bool:
    """Compilers, tracers, profilers, function transforms, fake and other tensors of their own.

    True as well where this PyTorch does not tell.
    """
    if _dispatch_modes is None or _function_modes is None or _functorch is None:
        return True
    return bool(
        type(x) is not Tensor
        or torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        or x.is_neg()
        or _dispatch_modes()
        or _function_modes()
        or _functorch() is not None
        or torch.autograd._profiler_enabled()
    )
