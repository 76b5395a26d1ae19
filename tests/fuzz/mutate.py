"""A seeded mutator, and a loop that feeds what it makes to a reader and counts what comes of it.

Used by the tests beside it, and as a program for hours of it: `python tests/fuzz/mutate.py --minutes 60` (`make fuzz`).
The program tries the files in child processes, so that a crash is counted and does not end it.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

EXTREMES = [b"\0", b"\xff", b"\x7f", b"\x80", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\1"]
BATCH = 2000
SLOW = {"avif": 10, "heic": 10}  # each file takes a process of its own, so there are fewer of them
SECONDS_A_FILE = 10.0


def mutated(data: bytes, generator: random.Random, others: list[bytes]) -> bytes:
    """`data` with one to four changes: bits, bytes, extreme numbers, pieces cut out, doubled or from elsewhere."""
    changed = bytearray(data)
    for _ in range(generator.choice((1, 1, 1, 2, 2, 3, 4))):
        size = len(changed)
        if not size:
            break
        at, length = generator.randrange(size), min(size, 1 << generator.randrange(8))
        # half of all changes hit the first bytes, where sizes and counts are
        if generator.random() < 0.5:
            at = generator.randrange(min(size, 96))
        match generator.randrange(9):
            case 0:
                changed[at] ^= 1 << generator.randrange(8)
            case 1:
                changed[at] = generator.randrange(256)
            case 2:
                extreme = generator.choice(EXTREMES)
                changed[at : at + len(extreme)] = extreme
            case 3:
                del changed[at : at + length]
            case 4:
                changed[at:at] = changed[at : at + length]
            case 5:
                changed[at:at] = generator.randbytes(length)
            case 6:
                del changed[at:]
            case 7:
                other = generator.choice(others)
                start = generator.randrange(len(other))
                changed[at : at + length] = other[start : start + length]
            case _:
                number = int.from_bytes(changed[at : at + 4], "big") + generator.choice((-1, 1, 256, -256, 1 << 24))
                changed[at : at + 4] = struct.pack(">I", number & 0xFFFFFFFF)
    return with_right_checksums(bytes(changed)) if generator.random() < 0.7 else bytes(changed)


def with_right_checksums(data: bytes) -> bytes:
    """A PNG whose chunks have right checksums again, so that what is inside gets looked at; other files as they are."""
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        return data
    mended, place = bytearray(data), 8
    while place + 12 <= len(mended):
        (size,) = struct.unpack_from(">I", mended, place)
        if place + 12 + size > len(mended):
            break
        struct.pack_into(">I", mended, place + 8 + size, zlib.crc32(mended[place + 4 : place + 8 + size]))
        place += 12 + size
    return bytes(mended)


@dataclass
class Tally:
    """What came of the files that were tried; `found` are the worst, by what was wrong with them."""

    counts: Counter[str] = field(default_factory=Counter)
    found: list[str] = field(default_factory=list)

    @property
    def tried(self) -> int:
        """How many files."""
        return sum(self.counts.values())

    @property
    def faults(self) -> int:
        """Files that came out neither read nor refused."""
        return self.tried - self.counts["read"] - self.counts["refused"]


class TookTooLong(BaseException):
    """No reader may catch it."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `TookTooLong` inside the block after so many seconds of work: a busy machine is no hang."""

    def stop(*_: object) -> None:
        raise TookTooLong

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def judge(read: Callable[[bytes], str], data: bytes, refusal: type[Exception]) -> tuple[str, str]:
    """What comes of one file: read, refused, hang, foreign or what `read` finds wrong itself; and the detail."""
    try:
        with time_limit(SECONDS_A_FILE):
            wrong = read(data)
        return (wrong or "read"), wrong
    except refusal as error:
        # one line, and no decoder's error may pass for a mistake of the user's without a cause
        return ("many lines", repr(error)) if "\n" in str(error) else ("refused", "")
    except TookTooLong:
        return "hang", f"more than {SECONDS_A_FILE} s"
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return "foreign", f"{type(error).__name__}: {error} at {Path(where.filename).name}:{where.lineno}"[:300]


def fuzz(
    read: Callable[[bytes], str],
    seeds: list[bytes],
    refusal: type[Exception],
    numbers: Iterable[int],
    change: Callable[[bytes, random.Random, list[bytes]], bytes] = mutated,
    tell: Callable[[int, Tally], None] = lambda *_: None,
) -> Tally:
    """Try the files of these numbers: the same number and seeds give the same file on every run.

    Args:
        read: reads one file to its end; gives what is wrong with the result, or nothing.
        seeds: files that can be read.
        refusal: the error that is right for a damaged file.
        numbers: of the files.
        change: makes the file out of a seed, chance and all seeds.
        tell: called before each file with its number and what came of those before.
    """
    tally = Tally()
    for number in numbers:
        tell(number, tally)
        generator = random.Random(number)
        outcome, detail = judge(read, change(generator.choice(seeds), generator, seeds), refusal)
        tally.counts[outcome] += 1
        if outcome not in ("read", "refused"):
            tally.found.append(f"number {number}: {outcome}: {detail}")
    return tally


def _child(folder: Path, name: str, begin: int, end: int) -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    from readers import CHANGES, REFUSAL, read_all  # type: ignore[import-not-found]

    def tell(number: int, tally: Tally) -> None:
        # native code that never comes back is ended by the system: after so much work, or waiting
        signal.setitimer(signal.ITIMER_VIRTUAL, 6 * SECONDS_A_FILE)
        signal.setitimer(signal.ITIMER_REAL, 60 * SECONDS_A_FILE)
        note = {"number": number, "counts": tally.counts, "found": tally.found, "peak": _peak_mib()}
        (folder / "tell").write_text(json.dumps(note))

    seeds = [path.read_bytes() for path in sorted(folder.glob(f"{name}-*"))]
    tell(end, fuzz(read_all, seeds, REFUSAL, range(begin, end), CHANGES.get(name, mutated), tell))


def _peak_mib() -> int:
    """Most memory that this process had, or one that it started and that has ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    return max(children, _own_peak_mib())


def _own_peak_mib() -> int:
    """Linux's `ru_maxrss` also counts the parent's from before the program began."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if "VmHWM" in line) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> int:
    """Try mutated files of every kind for so many minutes, or so many of them, and print what came of it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--files", type=int, default=10**9, help="of each kind, at most; of the slow ones a tenth")
    parser.add_argument("--start", type=int, default=0, help="number of the first file")
    parser.add_argument("--kinds", nargs="*", help="default: all")
    parser.add_argument("--child", nargs=4, metavar=("FOLDER", "KIND", "BEGIN", "END"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        _child(Path(args.child[0]), args.child[1], int(args.child[2]), int(args.child[3]))
        return 0
    sys.path.insert(0, str(Path(__file__).parent))
    from readers import all_seeds  # type: ignore[import-not-found]

    kinds = args.kinds or list(all_seeds())
    with tempfile.TemporaryDirectory(prefix="glassine-fuzz-") as folder:
        for kind in kinds:  # made once: writing video takes torch along
            for number, seed in enumerate(all_seeds()[kind]):
                (Path(folder) / f"{kind}-{number}").write_bytes(seed)
        return _campaign(Path(folder), kinds, args.start, args.start + args.files, 60 * args.minutes)


def _campaign(folder: Path, kinds: list[str], begin: int, stop: int, seconds: float) -> int:
    until, tell = time.monotonic() + seconds, folder / "tell"
    totals, peaks = {kind: Tally() for kind in kinds}, Counter[str]()
    while time.monotonic() < until and begin < stop:
        for kind in kinds:
            share = SLOW.get(kind, 1)
            place, end = begin // share, min(begin + BATCH, stop) // share
            while place < end:
                command = [sys.executable, __file__, "--child", str(folder), kind, str(place), str(end)]
                tell.unlink(missing_ok=True)
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if not tell.exists():
                    raise SystemExit(done.stderr)
                part = json.loads(tell.read_text())
                totals[kind].counts.update(part["counts"])
                totals[kind].found += part["found"]
                peaks[kind] = max(peaks[kind], part["peak"])
                place = part["number"]
                if done.returncode:
                    hangs = done.returncode in (-signal.SIGVTALRM, -signal.SIGALRM)
                    outcome = "hang" if hangs else "crash"
                    totals[kind].counts[outcome] += 1
                    said = f"signal or code {done.returncode} {done.stderr[-300:]}"
                    totals[kind].found.append(f"number {place}: {outcome}: {said}")
                    place += 1
            _report(totals, peaks)
            if time.monotonic() >= until:
                break
        begin += BATCH
    return 1 if any(tally.faults for tally in totals.values()) else 0


def _report(totals: dict[str, Tally], peaks: Counter[str]) -> None:
    print(f"--- {sum(tally.tried for tally in totals.values()):,} files")
    for kind, tally in totals.items():
        print(f"{kind}: {dict(tally.counts)}, peak {peaks[kind]} MiB")
        for found in tally.found[-20:]:
            print(f"    {found}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
