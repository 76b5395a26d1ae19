"""Take blocks through stages: in this process, in several processes, or as a streaming Ray Data pipeline.

All three call `glassine.curation.blocks.run_block`, so they write the same files; only block numbers travel.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from glassine.curation.blocks import Block, Stage, result_of, run_block
from glassine.utils.errors import UserError

StageFactory = Callable[[], Stage]
"""Makes a stage inside a worker; picklable. Cheap: networks are loaded when the first block comes."""

MOST_LOST_WORKERS = 64  # beyond the number of blocks, something else than a file is wrong
OBJECT_STORE_BYTES = 512 * 2**20


class Runner(Protocol):
    """Where stages run."""

    def run(
        self, factories: Sequence[StageFactory], blocks: Sequence[Block], folder: Path, advance: Callable[[], None]
    ) -> list[Block]:
        """Take every block through all stages; the results in the order of the blocks.

        Args:
            factories: of the stages, in order.
            blocks: what goes in.
            folder: of the results.
            advance: called after each block, for a progress bar.
        """
        ...


def finished(stages: Sequence[Stage], block: Block, folder: Path) -> Block | None:
    """The last stage's result for a block if the whole chain is there, else None."""
    for stage in stages:
        block = result_of(stage, block, folder)
        if not block.path.is_file():
            return None
    return block


@dataclass(frozen=True)
class Here:
    """In this process, one block after the other."""

    def run(
        self, factories: Sequence[StageFactory], blocks: Sequence[Block], folder: Path, advance: Callable[[], None]
    ) -> list[Block]:
        """See `Runner`."""
        stages = [factory() for factory in factories]
        results = []
        for block in blocks:
            results.append(run_block(stages, block, folder))
            advance()
        return results


_worker_stages: list[Stage] = []


def _start_worker(factories: Sequence[StageFactory]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends the workers
    one_thread()
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    _worker_stages[:] = [factory() for factory in factories]


def _end_with_parent(parent: int) -> None:
    """A worker whose parent was killed would wait for work for ever."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _work(block: Block, folder: Path) -> Block:
    return run_block(_worker_stages, block, folder)


def one_thread() -> None:
    """One core a worker: libraries that start threads of their own would fight over the cores."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    import cv2

    cv2.setNumThreads(0)


@dataclass(frozen=True)
class Processes:
    """In `workers` processes of this machine; one that is killed is replaced and its block done again."""

    workers: int

    def run(
        self, factories: Sequence[StageFactory], blocks: Sequence[Block], folder: Path, advance: Callable[[], None]
    ) -> list[Block]:
        """See `Runner`.

        Raises:
            UserError: workers die again and again.
        """
        stages = [factory() for factory in factories]
        results: dict[int, Block] = {}
        waiting: list[Block] = []
        for block in blocks:
            done = finished(stages, block, folder)
            if done is None:
                waiting.append(block)
            else:
                results[block.number] = done
                advance()
        lost = 0
        while waiting:
            try:
                for block, result in self._pool(factories, waiting, folder):
                    results[block.number] = result
                    advance()
            except BrokenProcessPool as error:
                lost += 1
                if lost > MOST_LOST_WORKERS + len(blocks):
                    raise UserError(
                        f"worker processes ended {lost} times without finishing a block: look for too little memory"
                    ) from error
            waiting = [block for block in waiting if block.number not in results]
        return [results[block.number] for block in blocks]

    def _pool(
        self, factories: Sequence[StageFactory], blocks: Sequence[Block], folder: Path
    ) -> Iterator[tuple[Block, Block]]:
        # spawned: neither renderers of drawings nor networks survive a fork of a process that has used them
        context = multiprocessing.get_context("spawn")
        start = partial(_start_worker, list(factories))
        with ProcessPoolExecutor(min(self.workers, len(blocks)), context, start) as pool:
            todo = iter(blocks)
            running: dict[Future[Block], Block] = {}
            while True:
                while len(running) < 2 * self.workers and (block := next(todo, None)) is not None:
                    running[pool.submit(_work, block, folder)] = block
                if not running:
                    return
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield running.pop(future), future.result()


class BlockWorker:
    """What a Ray actor runs: one stage on one block a call; a row says which block, and goes on to the next stage."""

    def __init__(self, factory: StageFactory, folder: str) -> None:
        one_thread()
        self.stage, self.folder = factory(), Path(folder)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Columns path, number, identity of one block to those of its result."""
        out: dict[str, list[Any]] = {name: [] for name in ("path", "number", "identity")}
        for path, number, identity in zip(*(batch[name] for name in out), strict=True):
            result = run_block([self.stage], Block(Path(str(path)), int(number), str(identity)), self.folder)
            for name, value in zip(out, (str(result.path), result.number, result.identity), strict=True):
                out[name].append(value)
        return out


@dataclass(frozen=True)
class RayData:
    """A streaming Ray Data pipeline, one operator a stage, each on a pool of actors.

    Rows hold a block's file and number, never pixels, so that the object store stays nearly empty; Ray Data holds back
    the stages before a slow one by itself. Blocks must lie where every node can write. A killed actor is started again
    by Ray and its block done again.

    Args:
        workers: actors of each stage; 0 lets Ray use every core.
        gpus: GPUs that each actor of a stage in `gpu_stages` takes.
        gpu_stages: names of stages that run networks.
    """

    workers: int = 0
    gpus: float = 0.0
    gpu_stages: tuple[str, ...] = ("domain", "describe")

    def run(
        self, factories: Sequence[StageFactory], blocks: Sequence[Block], folder: Path, advance: Callable[[], None]
    ) -> list[Block]:
        """See `Runner`."""
        import ray.data

        stages = [factory() for factory in factories]
        results: dict[int, Block] = {}
        waiting: list[dict[str, Any]] = []
        for block in blocks:
            done = finished(stages, block, folder)
            if done is None:
                waiting.append(_as_row(block))
            else:
                results[block.number] = done
                advance()
        if not waiting:
            return [results[block.number] for block in blocks]
        workers = self.workers or max(1, int(ray.cluster_resources().get("CPU", 1)) // len(stages))
        # a Ray block for each of ours: the unit of scheduling, of retrying, and of what is held back
        data: Any = ray.data.from_items(waiting, override_num_blocks=len(waiting))
        for stage, factory in zip(stages, factories, strict=True):
            on_gpu = self.gpus if stage.name in self.gpu_stages else 0.0
            data = data.map_batches(
                BlockWorker,
                fn_constructor_args=(factory, str(folder)),
                batch_size=1,
                batch_format="numpy",
                compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(workers, len(waiting))),
                num_cpus=1 / len(stages),
                **({"num_gpus": on_gpu} if on_gpu else {}),
            )
        for row in data.iter_rows():
            results[int(row["number"])] = Block(Path(row["path"]), int(row["number"]), row["identity"])
            advance()
        missing = [block.number for block in blocks if block.number not in results]
        if missing:
            raise UserError(f"Ray returned no result for {len(missing)} blocks, first block {missing[0]}: run again")
        return [results[block.number] for block in blocks]


def _as_row(block: Block) -> dict[str, Any]:
    return {"path": str(block.path), "number": block.number, "identity": block.identity}


@contextmanager
def ray_session(address: str | None, workers: int, object_store_bytes: int = OBJECT_STORE_BYTES) -> Iterator[None]:
    """Connect to a Ray cluster, or start Ray on this machine, while the block runs.

    Args:
        address: as for `ray.init`, such as `auto` or `ray://head:10001`; None starts one here.
        workers: cores of a Ray that is started here; 0 for all.
        object_store_bytes: limit of the object store of a Ray that is started here.

    Raises:
        UserError: Ray is not installed, or the cluster cannot be reached.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UserError("curation on Ray needs ray[data]: pip install 'glassine[curation]', or use --no-ray") from error
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # workers import what this process imports
    paths = os.pathsep.join(dict.fromkeys([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]))
    environment = {"env_vars": {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths.strip(os.pathsep)}}
    own = not ray.is_initialized()
    try:
        if own and address is not None:
            ray.init(address=address, runtime_env={"env_vars": {"OMP_NUM_THREADS": "1"}}, log_to_driver=False)
        elif own:
            ray.init(
                num_cpus=workers or None,
                object_store_memory=object_store_bytes,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env=environment,
            )
    except Exception as error:  # Ray raises plain ones where a busy machine starts its processes too slowly
        where = f"at {address}" if address else "on this machine"
        raise UserError(
            f"Ray {where} cannot be used ({' '.join(str(error).split())[:200]}): try again, or use --no-ray"
        ) from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = False
    try:
        yield
    finally:
        if own:
            ray.shutdown()
