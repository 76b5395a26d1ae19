"""Score what a trained method makes, and keep what is measured."""

import hashlib
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor

from glassine import __version__
from glassine.bench.generation.clip_files import file_name, write_clips
from glassine.bench.generation.evaluators import Evaluators
from glassine.bench.generation.methods import ALL_METHODS, ALL_TRAINING_SETS
from glassine.bench.generation.rows import SHORT_SETTINGS, VideoSampler, load_maker
from glassine.bench.generation.runs import Run
from glassine.bench.generation.test_set import TestSet
from glassine.bench.records import Cell, Record, plain, read_record
from glassine.utils.devices import processor

Tell = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Scorer:
    """What runs are scored on and by.

    A record names what its network was trained by, so one that is complete needs neither training nor network: it holds
    in a fresh clone, too, until the experiment, the weights that it stands on, the test stickers or the evaluators
    change.

    Attributes:
        test_sets: by name.
        evaluators: see there.
        progress: gives, as a context, what is told what goes on, how many clips are made, and of how many.
        clips_to: folder that gets what is made, in a folder for each network and test set; None keeps none.
    """

    test_sets: Mapping[str, TestSet]
    evaluators: Evaluators
    progress: Callable[[], AbstractContextManager[Tell]] = lambda: nullcontext(lambda *_: None)
    clips_to: Path | None = None

    def record(self, run: Run, checkpoint: Path, folder: Path) -> Record:
        """The one in `folder`, if it is of a network that was trained alike; else a new one."""
        record, asked = self.new_record(run, checkpoint), run.asked
        path = folder / record.file_name
        if path.is_file() and (old := read_record(path)).settings.get("asked") == asked:
            return old
        record.settings["asked"] = asked
        return record

    def new_record(self, run: Run, checkpoint: Path) -> Record:
        """Without scores."""
        first = next(iter(self.test_sets.values()))
        return Record(
            run.method,
            ALL_METHODS[run.method].title,
            first.split,
            first.size,
            first.num_frames,
            [],
            data=run.training_set,
            weights=re.sub(r"/checkpoints/last\.ckpt$", "", checkpoint.as_posix()),
            config=" ".join(stage.config.as_posix() for stage in run.stages()),
            seed=run.seed,
            settings=dict(SHORT_SETTINGS),
            measured="clips for the captions of held-out stickers, on white; seconds: 25 steps of DDIM, one clip",
        )

    def missing(self, record: Record) -> list[str]:
        """Test sets that the record has no scores of."""
        training_set = ALL_TRAINING_SETS.get(record.data)  # none where what ships is measured
        names = list(self.test_sets) if training_set is None else training_set.tested_on
        cells = record.conditions
        return [name for name in names if name not in cells or cells[name].inputs != self.inputs(record, name)]

    def inputs(self, record: Record, name: str) -> str:
        """Fingerprint of all that decides the scores on a test set."""
        settings = sorted(record.settings.items())
        parts = (__version__, record.digest, settings, self.test_sets[name].fingerprint(), self.evaluators.identity)
        return hashlib.blake2b(repr(parts).encode(), digest_size=6).hexdigest()

    def fill(self, record: Record, run: Run, checkpoint: Path, folder: Path, steps: int | None = None) -> None:
        """Measure and save what is missing.

        Args:
            record: is changed.
            run: which left the network.
            checkpoint: the network.
            folder: of the records.
            steps: of the training until then; None for all.
        """
        maker = load_maker(str(checkpoint), ALL_METHODS[run.method].part, self.evaluators.device)
        record.costs["steps"] = steps or run.budget.steps
        self.measure(record, maker, folder, run.name)

    def measure(self, record: Record, maker: VideoSampler, folder: Path, name: str) -> None:
        """Measure and save what is missing of what `maker` makes.

        Args:
            record: is changed.
            maker: of clips.
            folder: of the records.
            name: what the progress is told.
        """
        record.digest = maker.digest  # of another training of the same kind; `missing` then names all
        record.costs["parameters"] = maker.parameters
        for condition in self.missing(record):
            wanted = self.test_sets[condition]
            with self.progress() as tell:  # at most one bar at a time: training has its own
                made = maker.clips(wanted.clips, tell=partial(tell, name))
            if self.clips_to is not None:
                write_clips(made, wanted.clips, self.clips_to / file_name(f"{name}-{condition}"))
            scores = self.scores(wanted, made, maker)
            cell = Cell(self.inputs(record, condition), len(wanted.clips), {s: plain(v) for s, v in scores.items()})
            record.conditions[condition] = cell
            record.costs_on = processor(self.evaluators.device)
            record.save(folder)

    def scores(self, wanted: TestSet, made: Tensor, maker: VideoSampler) -> dict[str, float]:
        """Of clips `n f 3 h w` on white that `maker` made."""
        return self.evaluators.score(wanted.stacked(), made, [one.caption for one in wanted.clips])
