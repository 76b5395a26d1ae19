"""What a curation costs and whether it scales: CPU time of each stage, speed-up of two workers, memory over size."""

from __future__ import annotations

import io
import json
import multiprocessing
import resource
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from glassine.curation.blocks import Block, read_rows
from glassine.curation.pipeline import Settings, curate
from glassine.curation.runners import Here, Processes, Runner, StageFactory, one_thread
from glassine.data.shards import StickerShards
from glassine.utils.errors import UserError
from glassine.utils.files import atomic_path

VSD2M_FILES = 2_500_000
_SIDE = 56  # pixels of small files, so that 20,000 of them take minutes
_MAKERS = 97  # a file's look is `number % _MAKERS`: near copies of one sticker are made in different ways
Progress = Callable[[str], None]


@dataclass
class Timed:
    """A runner that keeps what each stage took.

    Args:
        inner: does the work.
        apart: each stage on its own; False takes those that follow each other together, as a curation does.

    Attributes:
        stages: name -> `files`, `cpu_s` of all processes, `wall_s`.
    """

    inner: Runner
    apart: bool = True
    stages: dict[str, dict[str, float]] = field(default_factory=dict)

    def run(
        self, factories: Sequence[StageFactory], blocks: Sequence[Block], folder: Path, advance: Callable[[], None]
    ) -> list[Block]:
        """See `glassine.curation.runners.Runner`."""
        done = list(blocks)
        for part in [[one] for one in factories] if self.apart else [factories]:
            name = " + ".join(factory().name for factory in part)
            cpu, wall = cpu_seconds(), time.perf_counter()
            done = self.inner.run(part, done, folder, advance)
            files = sum(1 for block in done for _ in read_rows(block.path))
            took = {"files": files, "cpu_s": cpu_seconds() - cpu, "wall_s": time.perf_counter() - wall}
            self.stages[name] = {key: round(value, 3) for key, value in took.items()}
        return done


def cpu_seconds() -> float:
    """User and system time of this process and of its children that have ended."""
    uses = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(use.ru_utime + use.ru_stime for use in uses)


def own_peak() -> float:
    """Most memory that this process has held, in MiB; `getrusage` would count what its parent held before `exec`."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 1024, 1)
    raise UserError("the memory of a process must be in /proc/self/status: measure on Linux")


def small_files(sources: Sequence[Path], to: Path, count: int, copies: int = 5) -> None:
    """A crawl of small stills: stickers of shards, each some times in a row in other colors, sizes and encodings.

    Args:
        sources: folders of shards.
        to: a new folder.
        count: files.
        copies: files made of one sticker, more if there are not enough stickers; so that crawls of different sizes
            have equally many near copies.
    """
    shards = StickerShards(list(sources))
    rows = np.linspace(0, len(shards) - 1, min(-(-count // copies), len(shards))).round().astype(int)
    chance = np.random.default_rng(0)
    known, picture = -1, Image.new("RGBA", (1, 1))
    for number in range(count):
        base = number * len(rows) // count
        if base != known:
            known, again, picture = base, False, Image.fromarray(shards.read(int(rows[base]), [0])[0])
        side = int(chance.integers(_SIDE, _SIDE + 24))
        pixels = np.array(picture.resize((side, side)))
        order = chance.permutation(3)
        pixels[..., :3] = pixels[..., order] if again else pixels[..., :3]
        again = True
        if number % 3 == 1:
            pixels = pixels[:, ::-1]
        data = io.BytesIO()
        kind = ("PNG", "WEBP", "PNG")[number % 3]
        Image.fromarray(np.ascontiguousarray(pixels)).save(data, kind, quality=int(chance.integers(60, 95)))
        folder = to / f"{number % _MAKERS:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:06d}.{kind.lower()}").write_bytes(data.getvalue())


def _measured(crawl: Path, to: Path, workers: int, settings: Settings, apart: bool, out: Any) -> None:
    one_thread()
    runner = Timed(Processes(workers) if workers else Here(), apart)
    cpu, wall = cpu_seconds(), time.perf_counter()
    record = curate(crawl, to, runner, settings)
    cpu, wall = cpu_seconds() - cpu, time.perf_counter() - wall
    alone = {
        "files": record["counts"]["files"],
        "cpu_s": round(cpu - sum(stage["cpu_s"] for stage in runner.stages.values()), 3),
        "wall_s": round(wall - sum(stage["wall_s"] for stage in runner.stages.values()), 3),
    }
    peak = {"main": own_peak(), "worker": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, 1)}
    out.put(
        {
            "files": record["counts"]["files"],
            "stickers": record["counts"]["kept"],
            "groups": record["counts"]["groups"],
            "workers": workers,
            "stages": {**runner.stages, "join": alone},
            "cpu_s": round(cpu, 2),
            "wall_s": round(wall, 2),
            "peak_mib": peak,
        }
    )


def measure_run(crawl: Path, to: Path, workers: int, settings: Settings, apart: bool = False) -> dict[str, Any]:
    """Curate once in a new process, so that its memory is its own.

    Args:
        crawl: the files.
        to: the data set, made anew.
        workers: processes; 0 does all in one.
        settings: what is done.
        apart: see `Timed`.

    Returns:
        `files`, `stages` (see `Timed`; `join` is what one process does alone: list, compare, split, report),
        `cpu_s`, `wall_s`, `peak_mib` of `main` and of the largest `worker` (which is at least that of `main`
        when the worker was started).

    Raises:
        UserError: it failed.
    """
    shutil.rmtree(to, ignore_errors=True)
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    process = context.Process(target=_measured, args=(crawl, to, workers, settings, apart, out))
    process.start()
    process.join()
    if process.exitcode:
        raise UserError(f"the curation of {crawl} must finish to be measured, it ended with {process.exitcode}")
    return dict(out.get(timeout=60))


def measure_scale(
    sources: Sequence[Path],
    real: Path,
    work: Path,
    sizes: Sequence[int] = (2_000, 20_000),
    part: int = 400,
    rounds: int = 2,
    say: Progress = lambda line: None,
    save: Callable[[Mapping[str, Any]], None] = lambda record: None,
) -> dict[str, Any]:
    """Measure a curation on this machine.

    Args:
        sources: shards that small files are made of.
        real: a crawl of stickers of usual size, for what each stage costs, OCR included.
        work: a folder for crawls and data sets.
        sizes: numbers of small files, for memory; without OCR.
        part: number of small files, for the speed-up of two workers.
        rounds: how often one and two workers take turns, since other load on the machine changes.
        say: told what was measured.
        save: given the record after each part of it.

    Returns:
        A record, see `glassine curate measure`.
    """
    from glassine.utils.devices import hardware  # takes seconds and memory, which measured processes do without

    plain = Settings(ocr=None, describe={"class_path": "glassine.curation.describe.Measured"}, rows_a_block=64)
    record: dict[str, Any] = {"hardware": hardware(), "load": _load(), "small_side": _SIDE}
    stages = measure_run(real, work / "real", 0, Settings(rows_a_block=64), apart=True)
    record["stages"] = stages
    save(record)
    say(f"stages: {stages['cpu_s']} CPU seconds for {stages['files']} files")
    small_files(sources, work / f"crawl{part}", part)
    turns = []
    for _ in range(rounds):
        one, two = (measure_run(work / f"crawl{part}", work / "part", workers, plain) for workers in (1, 2))
        turns.append({"one": one, "two": two})
        say(f"{part} files: {one['wall_s']} s with one worker, {two['wall_s']} s with two")
    record["turns"] = turns
    record["speed_up"] = speed_up(turns)
    record["sizes"] = []
    save(record)
    for size in sizes:
        small_files(sources, work / f"crawl{size}", size)
        record["sizes"].append(measure_run(work / f"crawl{size}", work / "size", 2, plain))
        last, record["load_after"] = record["sizes"][-1], _load()
        save(record)
        say(f"{size} files: {last['wall_s']} s, peaks {last['peak_mib']} MiB")
    return record


def speed_up(turns: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Wall time of one worker over that of two, of each stage that workers do, over all turns together."""
    names = [name for name in turns[0]["one"]["stages"] if name != "join"]
    walls = {
        name: [sum(turn[who]["stages"][name]["wall_s"] for turn in turns) for who in ("one", "two")] for name in names
    }
    sums = [sum(pair[place] for pair in walls.values()) for place in (0, 1)]
    return {name: round(one / max(two, 1e-9), 3) for name, (one, two) in {**walls, "all": sums}.items()}


def _load() -> list[float]:
    return [float(one) for one in Path("/proc/loadavg").read_text().split()[:3]]


def write_record(record: Mapping[str, Any], path: Path) -> None:
    """As JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def scale_tables(record: Mapping[str, Any]) -> str:
    """A record as Markdown: what stages cost, how memory grows, how two workers speed up.

    Args:
        record: of `measure_scale`.
    """
    stages = record["stages"]["stages"]
    lines = ["| stage | CPU ms a file | files a second and core | 2.5 M files, core hours |", "|---|---|---|---|"]
    hours: dict[str, float] = {}
    for name, took in stages.items():
        each = took["cpu_s"] / max(1, took["files"])
        hours[name] = each * VSD2M_FILES / 3600
        lines.append(f"| {name} | {1000 * each:.1f} | {1 / max(each, 1e-9):.0f} | {hours[name]:.0f} |")
    slowest = max(hours, key=lambda name: hours[name])
    lines += [
        "",
        f"{sum(hours.values()):.0f} core hours in all; {slowest} is the slowest stage with {hours[slowest]:.0f}.",
        "",
        "| small files | stickers | groups | peak of the main process, MiB | peak of a worker, MiB | CPU ms a file |",
        "|---|---|---|---|---|---|",
    ]
    for one in record["sizes"]:
        peak, each = one["peak_mib"], 1000 * one["cpu_s"] / one["files"]
        lines.append(
            f"| {one['files']:,} | {one['stickers']:,} | {one['groups']:,} | {peak['main']:.0f} | {peak['worker']:.0f} "
            f"| {each:.1f} |"
        )
    said = ", ".join(f"{name} {value:.2f}" for name, value in record["speed_up"].items())
    lines += ["", f"Wall time of one worker over that of two: {said}."]
    return "\n".join(lines) + "\n"
