"""The queue that trains the shipped weights: `glassine pretrain`, or `python -m glassine.bench.pretrain`.

`experiments/pretrain.yaml` lists its steps in order: caches to write, trainings, and exports. A step that is done is
skipped, one that was stopped is resumed, and one whose inputs have changed since starts again. Weights go to
`lightning_logs/pretrain/weights`, where later steps find them as `glassine:NAME`; `--install` copies them into the
package. SIGTERM or Ctrl-C ends the running step at its next optimizer step and then the queue.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glassine.bench.commands import Commands
from glassine.bench.run import FitRun, logger_folder
from glassine.pretrained.weights import ASSETS
from glassine.utils.errors import UserError, exit_code
from glassine.utils.experiments import read_experiment
from glassine.utils.files import atomic_path

STEPS = Path("experiments/pretrain.yaml")
STATE = Path("lightning_logs/pretrain")


@dataclass(frozen=True)
class Step:
    """One line of the queue; exactly one of `run` and `fit`.

    Attributes:
        name: unique.
        run: arguments of `glassine`, or of a module with `-m` first.
        fit: the YAML of a training, whole or an overlay.
        part: the task's argument that holds the network to export.
        weights: name of the exported bundle, `glassine:NAME`; None exports nothing.
        precision: of its numbers, see `glassine export weights`.
        shared_with: bundle whose equal tensors are not exported again.
        needs: names of the steps that it depends on.
        overrides: further arguments of `glassine fit`.
    """

    name: str
    run: tuple[str, ...] = ()
    fit: str | None = None
    part: str = ""
    weights: str | None = None
    precision: str = "float16"
    shared_with: str | None = None
    needs: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if bool(self.run) == (self.fit is not None):
            raise UserError(f"step {self.name!r} must have either run or fit")
        if self.weights is not None and not (self.fit and self.part):
            raise UserError(f"step {self.name!r} must have fit and part to export {self.weights!r}")

    def training(self, accelerator: str) -> FitRun:
        """Its `fit`, for as many steps as the YAML says."""
        config = Path(str(self.fit))
        content = read_experiment(config)
        arguments = ("--trainer.accelerator", accelerator, *self.overrides)
        return FitRun(config, logger_folder(content), int(content["trainer"]["max_steps"]), arguments)


def read_steps(path: Path = STEPS) -> list[Step]:
    """The queue's steps.

    Raises:
        UserError: no such file, fields that a step does not have, or needs that no earlier step meets.
    """
    steps: list[Step] = []
    for entry in read_experiment(path)["steps"]:
        known: dict[str, Any] = {
            name: tuple(map(str, value)) if isinstance(value, list) else value for name, value in entry.items()
        }
        try:
            steps.append(Step(**known))
        except TypeError as error:
            raise UserError(f"{path}: {error}") from error
    names = [step.name for step in steps]
    for place, step in enumerate(steps):
        if missing := set(step.needs) - set(names[:place]):
            raise UserError(f"{path}: {step.name!r} needs {min(missing)!r}, which no earlier step makes")
    return steps


@dataclass
class Record:
    """State of a step, kept as JSON in `lightning_logs/pretrain`.

    Attributes:
        begun: when it was first started, seconds since 1970; 0 for never.
        finished: when it was done; 0 for not yet.
        seconds: that it has run, over all calls.
        asked: what it was asked to do; a step that is asked otherwise starts again.
        commit: of the code that ran last.
    """

    begun: float = 0.0
    finished: float = 0.0
    seconds: float = 0.0
    asked: Any = None
    commit: str = ""


class Queue:
    """The steps and their state.

    Args:
        steps: in their order.
        state: folder of the records and of the weights.
        accelerator: as Lightning's.
        jobs: steps that run at a time, each on its share of the cores. Small networks train faster as two processes of
            one core each than one after the other on two.
    """

    def __init__(self, steps: Sequence[Step], state: Path = STATE, accelerator: str = "auto", jobs: int = 1) -> None:
        if jobs < 1:
            raise UserError(f"jobs must be at least 1, got {jobs}")
        self.steps, self.state, self.accelerator, self.jobs = steps, state, accelerator, jobs
        self._commands = Commands(state / "weights", jobs)
        self._records: dict[str, Record] = {}
        for step in steps:
            file = state / f"{step.name}.json"
            if file.is_file():
                self._records[step.name] = Record(**json.loads(file.read_text(encoding="utf-8")))

    def record(self, step: Step) -> Record:
        """What is known about the step."""
        return self._records.setdefault(step.name, Record())

    def is_done(self, step: Step) -> bool:
        """Whether the step was finished as it is asked for today, after all that it needs."""
        record = self.record(step)
        if not record.finished or record.asked != self.asked(step):
            return False
        return all(self.is_done(one) and self.record(one).finished <= record.begun for one in self._needed(step))

    def _needed(self, step: Step) -> list[Step]:
        return [other for other in self.steps if other.name in step.needs]

    def asked(self, step: Step) -> Any:
        """All that decides what comes out of a step, but for what it needs."""
        if step.fit is not None:
            return {"config": read_experiment(Path(step.fit)), "overrides": list(step.overrides), "part": step.part}
        return {"run": list(step.run)}

    def work(self, only: Sequence[str] | None = None, minutes: float | None = None) -> None:
        """Do what is not done, in the order of the list, as soon as what a step needs is there.

        Args:
            only: names of steps; None for all.
            minutes: stop after so many, as SIGTERM does; None goes on to the end.

        Raises:
            UserError: an unknown name, or a step failed; the others are kept, and the same command goes on.
        """
        unknown = set(only or ()) - {step.name for step in self.steps}
        if unknown:
            raise UserError(f"steps must be among {', '.join(s.name for s in self.steps)}, got {min(unknown)!r}")
        signal.signal(signal.SIGTERM, self._commands.stop)
        timer = threading.Timer(60 * (minutes or 0), self._commands.stop)
        if minutes is not None:
            timer.start()
        waiting = [step for step in self.steps if only is None or step.name in only]
        running: dict[Future[None], Step] = {}
        with ThreadPoolExecutor(self.jobs) as pool:
            try:
                while not self._commands.stopped:
                    waiting = [step for step in waiting if not self.is_done(step)]
                    ready = [
                        step for step in waiting if all(self.is_done(o) for o in self.steps if o.name in step.needs)
                    ]
                    for step in ready[: self.jobs - len(running)]:
                        waiting.remove(step)
                        running[pool.submit(self._do, step)] = step
                    if not running:
                        break
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        running.pop(future)
                        future.result()
            except (KeyboardInterrupt, UserError):
                self._commands.stop()
                raise
            finally:
                timer.cancel()

    def _do(self, step: Step) -> None:
        """Run a step to its end, or until the queue is stopped; keep what it has cost."""
        record, started = self.record(step), time.time()
        newest = max((self.record(one).finished for one in self._needed(step)), default=0.0)
        if record.asked is not None and (record.asked != self.asked(step) or record.finished or newest > record.begun):
            self._set_aside(step)
            record.begun = 0.0
        record.begun = record.begun or started
        record.asked, record.finished, record.commit = self.asked(step), 0.0, current_commit()
        self._save(step)
        print(f"{step.name}: starts ({time.strftime('%H:%M')})", flush=True)
        try:
            if step.fit is None:
                done = self._commands.run(step.run)
            else:
                done = self._train(step, step.training(self.accelerator))
            record.finished = time.time() if done else 0.0
        finally:
            record.seconds += time.time() - started
            self._save(step)
        print(f"{step.name}: {'done' if done else 'stopped'}, {record.seconds / 60:.0f} minutes in all", flush=True)

    def _train(self, step: Step, training: FitRun) -> bool:
        if training.steps_done < training.steps:
            finished = self._commands.run(training.arguments())
            if training.steps_done < training.steps:
                if finished and not self._commands.stopped:
                    raise UserError(
                        f"training {training.config} stopped early: {training.folder} is kept, resume the queue"
                    )
                return False
        return step.weights is None or self._export(step, training.checkpoint)

    def _export(self, step: Step, checkpoint: Path) -> bool:
        folder = self.state / "weights" / str(step.weights)
        how = ["--precision", step.precision]
        how += ["--shared-with", step.shared_with] if step.shared_with is not None else []
        return self._commands.run(
            ["export", "weights", str(checkpoint), "--part", step.part, "--to", str(folder), *how]
        )

    def _set_aside(self, step: Step) -> None:
        """Keep an earlier training of the step beside, so that it starts again."""
        if step.fit is not None:
            folder = step.training(self.accelerator).folder
            if folder.is_dir():
                print(f"{step.name}: its inputs have changed; {folder} is kept beside", flush=True)
                folder.rename(f"{folder}.{int(time.time())}")
        self.record(step).seconds = 0.0

    def _save(self, step: Step) -> None:
        self.state.mkdir(parents=True, exist_ok=True)
        with atomic_path(self.state / f"{step.name}.json") as temporary:
            temporary.write_text(json.dumps(vars(self.record(step)), indent=1), encoding="utf-8")

    def mark_done(self, step: Step) -> None:
        """Mark a step as done, since its output was made elsewhere."""
        record = self.record(step)
        record.asked, record.commit = self.asked(step), current_commit()
        record.begun = record.finished = time.time()
        self._save(step)

    def export_unfinished(self) -> None:
        """Export the weights of trainings that were stopped on their way, as they are."""
        for step in self.steps:
            if step.fit is not None and step.weights is not None and not self.is_done(step):
                checkpoint = step.training(self.accelerator).checkpoint
                if checkpoint.is_file():
                    self._commands.stopped = False
                    self._export(step, checkpoint)

    def status(self) -> str:
        """One line a step: its state and what it has cost."""
        lines = []
        for step in self.steps:
            record = self.record(step)
            state = "done" if self.is_done(step) else "to do"
            if state != "done" and step.fit is not None and record.begun:
                training = step.training(self.accelerator)
                state = f"{training.steps_done} of {training.steps} steps"
            lines.append(f"{step.name:28s} {state:24s} {record.seconds / 3600:6.2f} h")
        return "\n".join(lines)

    def install(self, assets: Path = ASSETS) -> list[str]:
        """Copy the weights of finished steps into the package; returns their names."""
        names = [step.weights for step in self.steps if step.weights is not None and self.is_done(step)]
        for name in names:
            for file in (self.state / "weights" / name).iterdir():
                (assets / name).mkdir(parents=True, exist_ok=True)
                with atomic_path(assets / name / file.name) as temporary:
                    shutil.copyfile(file, temporary)
        return names


def current_commit() -> str:
    """The commit of the working tree; empty outside of git."""
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return found.stdout.strip()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of `glassine pretrain` without a further verb."""
    parser.add_argument("--accelerator", default="auto", help="auto, cpu or gpu")
    parser.add_argument("--jobs", type=int, default=1, help="steps that run at a time (default: %(default)s)")
    parser.add_argument("--minutes", type=float, help="stop after so many (default: at the end)")
    parser.add_argument("--only", nargs="+", metavar="STEP", help="some steps of the queue (default: all)")
    parser.add_argument("--steps", type=Path, default=STEPS, help="YAML of the queue (default: %(default)s)")
    parser.add_argument("--status", action="store_true", help="print the state of the queue and its cost")
    parser.add_argument("--install", action="store_true", help="copy finished weights into the package")


def work(args: argparse.Namespace) -> None:
    """Run the queue, or print its state, or install its weights."""
    queue = Queue(read_steps(args.steps), accelerator=args.accelerator, jobs=args.jobs)
    if args.status:
        print(queue.status())
    elif args.install:
        print("\n".join(queue.install()) or "nothing is finished yet")
    else:
        queue.work(args.only, args.minutes)
        print(queue.status())


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m glassine.bench.pretrain`, which is `glassine pretrain`; returns its exit code."""
    parser = argparse.ArgumentParser("python -m glassine.bench.pretrain", description=__doc__)
    add_arguments(parser)
    args = parser.parse_args(arguments)
    return exit_code(lambda: work(args))


if __name__ == "__main__":
    sys.exit(main())
