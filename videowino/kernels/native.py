"""The shared library built from csrc/, opened with ctypes; its C interface is csrc/videowino.h."""

import ctypes
import importlib.util
import warnings
from functools import cache
from pathlib import Path

from torch import Tensor

from videowino.winograd.finish import Finish

_MAX_PAIRS = 3
#: The most terms of a weight's factors: taps of a filter, columns of `left`.
MOST_TAPS, MOST_RANK = 27, 101
#: What ``vw_run`` answers where a watched value is another than it was.
CHANGED = 2


class Axis(ctypes.Structure):
    """``vw_axis``."""

    _fields_ = (
        ("input", ctypes.c_int32),
        ("output", ctypes.c_int32),
        ("padding", ctypes.c_int32),
        ("m", ctypes.c_int32),
        ("taps", ctypes.c_int32),
        ("stride", ctypes.c_int32),
        ("points", ctypes.c_float * _MAX_PAIRS),
    )


class Span(ctypes.Structure):
    """``vw_span``."""

    _fields_ = (("first", ctypes.c_int32), ("count", ctypes.c_int32), ("before", ctypes.c_int32))


class Problem(ctypes.Structure):
    """``vw_problem``."""

    _fields_ = (
        ("batch", ctypes.c_int32),
        ("in_channels", ctypes.c_int32),
        ("out_channels", ctypes.c_int32),
        ("axis", Axis * 3),
        ("x_channels_last", ctypes.c_int32),
        ("y_channels_last", ctypes.c_int32),
        ("columns", ctypes.c_int32),
        ("column", ctypes.POINTER(ctypes.c_int32)),
        ("spans", ctypes.POINTER(ctypes.c_int32)),
        ("span", ctypes.POINTER(Span)),
        ("threads", ctypes.c_int32),
        ("tiles", ctypes.c_int32),
        ("team", ctypes.c_int32),
        ("weight_bits", ctypes.c_int32),
    )


class Weight(ctypes.Structure):
    """``vw_weight``."""

    _fields_ = (
        ("values", ctypes.c_void_p),
        ("column", ctypes.c_int64),
        ("out", ctypes.c_int64),
        ("in_", ctypes.c_int64),
        ("place", ctypes.c_void_p),
        ("scale", ctypes.c_void_p),
        ("scale_block", ctypes.c_int64),
    )


class Factors(ctypes.Structure):
    """``vw_factors``."""

    _fields_ = (
        ("rows", ctypes.c_void_p),
        ("rows_block", ctypes.c_int64),
        ("scale", ctypes.c_void_p),
        ("spatial", ctypes.c_void_p),
        ("taps", ctypes.c_int32),
        ("left", ctypes.c_void_p),
        ("rank", ctypes.c_int32),
    )


class Epilogue(ctypes.Structure):
    """``vw_epilogue``."""

    _fields_ = (
        ("bias", ctypes.c_void_p),
        ("residual", ctypes.c_void_p),
        ("relu", ctypes.c_int32),
        ("pool", ctypes.c_int32 * 3),
        ("pool_ceil", ctypes.c_int32),
    )


class PoolAxis(ctypes.Structure):
    """``vw_pool_axis``."""

    _fields_ = (
        ("input", ctypes.c_int32),
        ("output", ctypes.c_int32),
        ("window", ctypes.c_int32),
        ("stride", ctypes.c_int32),
        ("padding", ctypes.c_int32),
    )


class Pool(ctypes.Structure):
    """``vw_pool``."""

    _fields_ = (
        ("batch", ctypes.c_int32),
        ("channels", ctypes.c_int32),
        ("axis", PoolAxis * 3),
        ("fill", ctypes.c_float),
        ("threads", ctypes.c_int32),
    )


class Watch(ctypes.Structure):
    """``vw_watch``."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("bytes", ctypes.c_int64),
        ("step", ctypes.c_int64),
        ("value", ctypes.c_uint64),
    )


class Call(ctypes.Structure):
    """``vw_call``."""

    _fields_ = (
        ("problem", Problem),
        ("packed", ctypes.c_void_p),
        ("epilogue", Epilogue),
        ("watched", ctypes.POINTER(Watch)),
        ("count", ctypes.c_int32),
    )


@cache
def library() -> ctypes.CDLL | None:
    """The kernels; None, with one warning, where they were not built."""
    path = _path()
    try:
        if path is None:
            raise OSError("it was not built when videowino was installed")
        found = ctypes.CDLL(str(path))
    except OSError as error:
        warnings.warn(
            f"videowino's CPU kernels are missing ({error}); the plain-PyTorch reference computes "
            "instead, many times slower. Install a C++ compiler (g++ or clang), then install "
            "videowino again",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    problem, pointer, step = ctypes.POINTER(Problem), ctypes.c_void_p, ctypes.c_int64
    found.vw_isa.restype = ctypes.c_char_p
    found.vw_packed_bytes.argtypes = [problem]
    found.vw_packed_bytes.restype = ctypes.c_int64
    factors = ctypes.POINTER(Factors)
    found.vw_pack_factors.argtypes = [problem, factors, pointer]
    found.vw_expand.argtypes = [problem, factors, pointer]
    found.vw_expand.restype = None
    found.vw_contract.argtypes = [problem, factors, pointer, pointer, pointer]
    found.vw_contract.restype = None
    found.vw_narrow.argtypes = [problem, pointer, pointer]
    found.vw_narrow.restype = None
    found.vw_pack.argtypes = [problem, ctypes.POINTER(Weight), pointer]
    found.vw_pack.restype = None
    found.vw_forward.argtypes = [problem, pointer, pointer, ctypes.POINTER(Epilogue), pointer]
    found.vw_run.argtypes = [pointer, pointer, pointer, pointer]
    weight = ctypes.POINTER(Weight)
    found.vw_backward.argtypes = [problem, pointer, pointer, weight, pointer, weight, pointer]
    found.vw_fingerprint.argtypes = [pointer, step, step]
    found.vw_fingerprint.restype = ctypes.c_uint64
    found.vw_max_pool.argtypes = [ctypes.POINTER(Pool), pointer, pointer]
    found.vw_max_pool.restype = None
    found.vw_release.restype = None
    found.vw_peak.restype = ctypes.c_double
    return found


def instruction_set() -> str | None:
    """The instruction set in use, "avx512", "avx2" or "baseline"; None without kernels.

    The environment variable VIDEOWINO_ISA chooses a lesser one, when the library is first used.
    """
    found = library()
    return None if found is None else found.vw_isa().decode()


def epilogue(bias: Tensor | None, residual: Tensor | None, finish: Finish) -> Epilogue:
    """What becomes of the sums; the bias and the residual are float32, the latter as the result."""
    made = Epilogue(address(bias), address(residual), finish.relu)
    if finish.pool is not None:
        made.pool[:], made.pool_ceil = finish.pool.window, finish.pool.ceil
    return made


def address(part: Tensor | None) -> int | None:
    """Where a tensor's first value is; None, C's null, for None."""
    return None if part is None else part.data_ptr()


def _path() -> Path | None:
    beside = Path(__file__).with_name("_native.so")
    if beside.exists():
        return beside
    # An editable install keeps what is built elsewhere; the import system knows where.
    spec = importlib.util.find_spec("videowino.kernels._native")
    return Path(spec.origin) if spec is not None and spec.origin else None
