"""Inputs made of good ones: bytes, JSON values, lines and chunks changed at random, by a seeded generator."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from random import Random

__all__ = ["as_json", "mutated", "mutated_json", "mutated_lines", "mutated_png"]

_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_LONGEST = 1 << 18
_TEXTS = (
    "",
    " ",
    "\0",
    "\n",
    "\u2028",
    "\ud800",
    "\x1b[31m",
    "ä",
    "../..",
    "/",
    "s3://",
    "s3://b/k",
    "NaN",
    "x" * 5000,
)
_VALUES: tuple[object, ...] = (
    *(None, True, False, 0, -1, 1, 0.5, -0.0, 1e308, 2**31, 2**63, 2**64, 10**400, float("nan"), float("inf")),
    *([], {}, [[]], [{}], {"": ""}, [None], [0.5, 0.5], ["a", "a"], *_TEXTS),
)


def mutated(data: bytes, others: Sequence[bytes], tokens: Sequence[bytes], random: Random) -> bytes:
    """One to some dozen changes of bytes: flips, numbers, cuts, repeats, tokens, pieces of others."""
    changed = bytearray(data)
    for _ in range(1 << random.randrange(5)):
        at = random.randrange(len(changed) + 1)
        length = min(1 << random.randrange(8), len(changed) - at)
        match random.randrange(9):
            case 0 | 1 if at < len(changed):
                changed[at] ^= 1 << random.randrange(8)
            case 2 if at < len(changed):
                changed[at] = random.randrange(256)
            case 3:
                code = random.choice("HIQ")
                number = struct.pack(
                    random.choice("<>") + code, random.choice(_NUMBERS) & (0xFFFF if code == "H" else -1)
                )
                changed[at : at + len(number)] = number
            case 4:
                del changed[at : at + length]
            case 5 if random.random() < 0.3:
                del changed[at:]
            case 6:
                changed[at:at] = changed[at : at + length] * random.choice((1, 2, 100))
            case 7 if tokens:
                changed[at : at + random.choice((0, length))] = random.choice(tokens)
            case 8 if others:
                other = random.choice(others)
                start = random.randrange(len(other) + 1)
                changed[at : at + length] = other[start : start + length]
        del changed[_LONGEST:]
    return bytes(changed)


def mutated_json(value: object, random: Random) -> object:
    """A JSON value with one to some members exchanged, removed, doubled, renamed or buried."""
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        value = _change(value, random, random.randrange(6))
    return value


def _change(value: object, random: Random, depth: int) -> object:
    if depth and isinstance(value, dict) and value:
        name = random.choice(list(value))
        changed = dict(value)
        match random.randrange(8):
            case 0:
                del changed[name]
            case 1:
                changed[random.choice(_TEXTS)] = changed.pop(name)
            case _:
                changed[name] = _change(value[name], random, depth - 1)
        return changed
    if depth and isinstance(value, list) and value:
        at = random.randrange(len(value))
        match random.randrange(6):
            case 0:
                return value[:at]
            case 1:
                return value * random.choice((2, 50))
            case _:
                return [*value[:at], _change(value[at], random, depth - 1), *value[at + 1 :]]
    if isinstance(value, str) and value and random.random() < 0.4:
        at = random.randrange(len(value) + 1)
        if value[0] in "{[" and random.random() < 0.7:  # JSON inside of JSON
            try:
                return as_json(_change(json.loads(value), random, 4), random).decode("utf-8", "surrogatepass")
            except (ValueError, RecursionError):
                pass
        return value[:at] + random.choice(_TEXTS) + value[at + random.randrange(3) :]
    if random.random() < 0.03:
        return _nested(value, random.choice((50, 5000)), random)
    return random.choice(_VALUES)


def _nested(value: object, depth: int, random: Random) -> object:
    for _ in range(depth):
        value = [value] if random.random() < 0.5 else {"a": value}
    return value


def as_json(value: object, random: Random) -> bytes:
    """A value as text, in one of the ways that it may be written; too deep ones by hand."""
    try:
        text = json.dumps(value, ensure_ascii=random.random() < 0.5)
    except RecursionError:
        text = "[" * 100_000 if random.random() < 0.5 else '{"a":' * 100_000
    return text.encode("utf-8", "surrogatepass")


def mutated_lines(data: bytes, others: Sequence[bytes], tokens: Sequence[bytes], random: Random) -> bytes:
    """Lines exchanged, doubled, joined; one of JSON changed as JSON, another as bytes."""
    lines = data.split(b"\n")
    at = random.randrange(len(lines))
    match random.randrange(8):
        case 0:
            lines[at:at] = [lines[random.randrange(len(lines))]] * random.choice((1, 3))
        case 1:
            del lines[at]
        case 2:
            lines[at : at + 2] = [b"".join(lines[at : at + 2])]
        case 3:
            lines[0] = b"\xef\xbb\xbf" + lines[0]
        case 4:
            return random.choice((b"\r\n", b"\r", b"\n\n", "\u2028".encode())).join(lines)
        case _:
            try:
                lines[at] = as_json(mutated_json(json.loads(lines[at]), random), random)
            except (ValueError, RecursionError):
                lines[at] = mutated(lines[at], others, tokens, random)
    return b"\n".join(lines)


def mutated_png(data: bytes, others: Sequence[bytes], tokens: Sequence[bytes], random: Random) -> bytes:
    """A PNG whose chunks are changed, moved and doubled, and have the right checksum and mostly the right length."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    if not chunks:
        return mutated(data, others, tokens, random)
    place = random.randrange(len(chunks))
    name, body = chunks[place]
    match random.randrange(6):
        case 0:
            chunks.insert(random.randrange(len(chunks) + 1), chunks[place])
        case 1:
            del chunks[place]
        case 2 if name == b"IDAT":
            try:
                chunks[place] = (name, zlib.compress(mutated(zlib.decompress(body)[:_LONGEST], (), (), random)))
            except zlib.error:
                chunks[place] = (name, body[: len(body) // 2])
        case _:
            chunks[place] = (name, mutated(body, (), tokens, random))
    return data[:8] + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
