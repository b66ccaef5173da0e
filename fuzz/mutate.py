"""Random changes of bytes, of text and of plain values; all that is random comes from `chance`."""

from __future__ import annotations

import random
from typing import Any

_NUMBERS = (0, 1, -1, 2, 7, 255, 65536, 2**31 - 1, -(2**31), 2**63, 10**12, 0.5, -0.5, 1e-30, 1e300)
_ODD = (
    float("nan"),
    float("inf"),
    True,
    False,
    None,
    "",
    "x",
    "a.b.c",
    "../..",
    "\0",
    "é\u2028",
    [],
)
_TOKENS = (b"", b"0", b"-1", b"\n", b"\t", b"\0", b"\xff\xfe", b"99999999999999999999", b"..", b"/")


def change_bytes(data: bytes, chance: random.Random) -> bytes:
    """A few bytes flipped, taken out, put in, doubled, or the end cut off."""
    found = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        at = chance.randrange(len(found) + 1)
        size = chance.choice((1, 1, 2, 8, 64))
        kind = chance.randrange(6)
        if kind == 0 and at < len(found):
            found[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del found[at : at + size]
        elif kind == 2:
            found[at:at] = chance.randbytes(size)
        elif kind == 3:
            found[at:at] = found[at : at + size]
        elif kind == 4:
            found[at : at + size] = chance.choice(_TOKENS)
        else:
            del found[chance.randrange(len(found) + 1) :]
    return bytes(found)


def change_lines(data: bytes, chance: random.Random) -> bytes:
    """Lines and words of a text swapped, repeated, left out or replaced."""
    lines = data.split(b"\n")
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(len(lines))
        words = lines[at].split(b" ")
        kind = chance.randrange(5)
        if kind == 0:
            lines[at] = chance.choice(lines)
        elif kind == 1:
            lines.insert(at, chance.choice(lines))
        elif kind == 2:
            words[chance.randrange(len(words))] = chance.choice(_TOKENS)
            lines[at] = b" ".join(words)
        elif kind == 3:
            chance.shuffle(words)
            lines[at] = b" ".join(words)
        elif len(lines) > 1:
            del lines[at]
    return b"\n".join(lines)


def change_value(value: Any, chance: random.Random) -> Any:
    """A copy of plain values in collections with one of them changed."""
    if isinstance(value, dict) and value and chance.random() < 0.95:
        key = chance.choice(list(value))
        kind = chance.randrange(12)
        if kind == 0:
            return {k: v for k, v in value.items() if k != key}
        if kind == 1:
            return value | {chance.choice(("x", f"{key}s", "", "class_path")): value[key]}
        return value | {key: change_value(value[key], chance)}
    if isinstance(value, (list, tuple)) and value and chance.random() < 0.95:
        items = list(value)
        at = chance.randrange(len(items))
        kind = chance.randrange(12)
        if kind == 0:
            del items[at]
        elif kind == 1:
            items.insert(at, chance.choice(items))
        else:
            items[at] = change_value(items[at], chance)
        return type(value)(items)
    if isinstance(value, str) and value and chance.random() < 0.5:
        return change_bytes(value.encode(), chance).decode(errors="replace")
    if isinstance(value, bool):
        return chance.choice((not value, *_NUMBERS, *_ODD))
    if isinstance(value, (int, float)) and chance.random() < 0.5:
        return chance.choice((value + 1, value - 1, value * 2, -value, value * 1000))
    return chance.choice((*_NUMBERS, *_ODD))
