"""Damage to bytes, as disks, networks and people with bad intentions do it; the same seed does the same."""

import os
import random
import time
from collections.abc import Iterator

NUMBERS = [b"\x00" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x80\x00\x00\x00", b"\x00\x00\x00\x80"]
TEXTS = [
    b"-1",
    b"1e999",
    b"NaN",
    b"9" * 40,
    b"null",
    b"true",
    b'"x"',
    b"[]",
    b"{}",
    b"[" * 2000,
    b"\\ud800",
    b"\x1b[31m",
]


def mutate(data: bytes, chance: random.Random, most: int = 4) -> bytes:
    """The data with one to `most` changes: bits, bytes, numbers, texts; stretches lost, doubled, moved or cut off."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, most)):
        if not changed:
            break
        place = chance.randrange(len(changed))
        length = min(chance.choice([1, 2, 8, 64, 512, 4096]), len(changed) - place)
        match chance.randrange(10):
            case 0 | 1:
                changed[place] ^= 1 << chance.randrange(8)
            case 2:
                changed[place] = chance.randrange(256)
            case 3:
                number = chance.choice(NUMBERS)
                changed[place : place + len(number)] = number
            case 4:
                changed[place : place + length] = chance.choice(TEXTS)
            case 5:
                del changed[place : place + length]
            case 6:
                changed[place:place] = changed[place : place + length]
            case 7:
                other = chance.randrange(len(changed))
                changed[other : other + length] = changed[place : place + length]
            case 8:
                changed[place : place + length] = bytes(length) if chance.random() < 0.5 else chance.randbytes(length)
            case 9:
                if chance.random() < 0.3:
                    del changed[place:]
                else:
                    changed[place] = (changed[place] + chance.choice([1, 255, 16])) % 256
    return bytes(changed)


def rounds(few: int) -> Iterator[int]:
    """Numbers to seed with: `few` of them, or as many as fit into FUZZ_MINUTES; FUZZ_SEED is the first."""
    first, minutes = int(os.environ.get("FUZZ_SEED", "0")), float(os.environ.get("FUZZ_MINUTES", "0"))
    count = int(os.environ.get("FUZZ_ROUNDS", "0")) or few
    end = time.monotonic() + 60 * minutes
    number = first
    while number < first + count if minutes == 0 else time.monotonic() < end:
        yield number
        number += 1
