"""Other ways to run a network on a CPU, each at the best settings that its documentation names.

Each rival is a function from a network and a clip to a call without arguments that gives the
outputs as a tensor, or raises `Missing` with the reason why it cannot be tried.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Call = Callable[[], Tensor]
_LAST = torch.channels_last_3d


class Missing(Exception):
    """Why a rival cannot be tried."""


def eager(model: nn.Module, clip: Tensor, threads: int) -> Call:
    """PyTorch as it is, channels first."""
    return lambda: model(clip)


def eager_last(model: nn.Module, clip: Tensor, threads: int) -> Call:
    """PyTorch as it is, channels last."""
    last = deepcopy(model).to(memory_format=_LAST)  # type: ignore[call-overload]
    x = clip.contiguous(memory_format=_LAST)
    return lambda: last(x)


def compiled(model: nn.Module, clip: Tensor, threads: int) -> Call:
    """torch.compile with freezing: constants folded, layouts and fusions of its own choice."""
    from torch._inductor import config

    with config.patch(freezing=True):
        found = torch.compile(deepcopy(model))
        for _ in range(3):
            found(clip)
    return lambda: found(clip)


def onnxruntime(model: nn.Module, clip: Tensor, threads: int) -> Call:
    """ONNX Runtime, all graph optimizations."""
    _need("onnxruntime", "onnx", "onnxscript")
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    # Its threads look for work between calls otherwise, and take the time of what comes next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = ort.InferenceSession(_onnx(model, clip), options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: clip.numpy()}
    return lambda: torch.from_numpy(session.run(None, feed)[0])


def openvino_f32(model: nn.Module, clip: Tensor, threads: int) -> Call:
    """OpenVINO, latency hint, float32."""
    return _openvino(model, clip, threads, {"INFERENCE_PRECISION_HINT": "f32"})


def openvino(model: nn.Module, clip: Tensor, threads: int) -> Call:
    """OpenVINO, latency hint, in its default precision: bfloat16 where the machine has it."""
    return _openvino(model, clip, threads, {})


#: Name -> rival and whether it computes in float32.
RIVALS: dict[str, tuple[Callable[[nn.Module, Tensor, int], Call], bool]] = {
    "eager": (eager, True),
    "eager, channels last": (eager_last, True),
    "torch.compile": (compiled, True),
    "ONNX Runtime": (onnxruntime, True),
    "OpenVINO f32": (openvino_f32, True),
    "OpenVINO default": (openvino, False),
}


def _openvino(model: nn.Module, clip: Tensor, threads: int, settings: dict[str, Any]) -> Call:
    _need("openvino")
    import openvino as ov

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converted = ov.convert_model(model, example_input=clip, input=list(clip.shape))
    found = ov.Core().compile_model(
        converted,
        "CPU",
        {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, **settings},
    )
    request = found.create_infer_request()
    request.set_input_tensor(ov.Tensor(clip.numpy(), shared_memory=True))

    def call() -> Tensor:
        request.infer()
        return torch.from_numpy(request.get_output_tensor(0).data)

    return call


def _onnx(model: nn.Module, clip: Tensor) -> bytes:
    def pool(x: Tensor, size: Any) -> Tensor:
        return x if tuple(x.shape[2:]) == tuple(size) else average(x, size)

    average = F.adaptive_avg_pool3d  # which the exporter lacks; C3D's does nothing at its size
    adaptive = patch.object(F, "adaptive_avg_pool3d", pool)
    with warnings.catch_warnings(), TemporaryDirectory() as folder, adaptive:
        warnings.simplefilter("ignore")
        file = Path(folder) / "model.onnx"
        torch.onnx.export(model, (clip,), file, dynamo=True, verbose=False, external_data=False)
        return file.read_bytes()


def _need(*packages: str) -> None:
    lacking = [name for name in packages if importlib.util.find_spec(name) is None]
    if lacking:
        raise Missing(f"{', '.join(lacking)} not installed: pip install 'videowino[bench]'")
