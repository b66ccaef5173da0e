"""Zeros around a clip."""

from collections.abc import Sequence

from videowino.winograd.tile import Triple, is_whole


def normalize_padding(padding: int | str | Sequence[int], taps: Triple) -> tuple[int, ...]:
    """Padding as six numbers (d0, d1, h0, h1, w0, w1); "same" puts the odd one behind.

    Raises:
        ValueError: Not one, three or six non-negative numbers, "same" or "valid".
    """
    if padding == "valid":
        return (0,) * 6
    if padding == "same":
        return tuple(side for r in taps for side in ((r - 1) // 2, r // 2))
    values: tuple = tuple(padding) if isinstance(padding, Sequence) else (padding,) * 3
    if len(values) not in (3, 6) or not all(is_whole(value) and value >= 0 for value in values):
        raise ValueError(
            f"padding={padding!r} is not one, three or six whole numbers from 0 up, 'same' or "
            "'valid'"
        )
    return tuple(values) if len(values) == 6 else tuple(v for value in values for v in [value] * 2)
