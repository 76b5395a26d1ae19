"""Run the benchmark's studies: train runs, evaluate them, and update records and tables after each.

Both halves of the benchmark use `study`: spec -> fit -> evaluate -> record -> table. Finished trainings and scores are
kept, so a stopped study resumes. The other functions implement `glassine benchmark`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from glassine.bench.ablation_report import ABLATION_CONDITIONS
from glassine.bench.alpha_methods import ildiff_method
from glassine.bench.alpha_report import print_scores
from glassine.bench.animation_report import ROUTES
from glassine.bench.evaluate import AlphaEvaluator, Evaluator
from glassine.bench.evaluate_video import AnimationEvaluator, VideoEvaluator
from glassine.bench.methods import SHIPPED_TRANSPARENCY, Sources, make_methods
from glassine.bench.progress import progress_bar
from glassine.bench.protocols import CONDITION_TITLES, GLASS, AlphaEvalSet
from glassine.bench.records import Record
from glassine.bench.report import (
    ANIMATION_RESULTS,
    GENERATION_RESULTS,
    GENERATION_STEPS,
    ablation_records,
    write_ablation,
    write_animation,
    write_generation,
)
from glassine.bench.run import Budget, Run
from glassine.bench.specs import Ablation
from glassine.bench.speed import Load, time_together
from glassine.bench.video_methods import REFERENCE_TITLES, REFERENCES, reference_method
from glassine.data.sticker import Split
from glassine.pretrained.run_parts import read_run_config
from glassine.utils.devices import pick_device
from glassine.utils.errors import UserError
from glassine.utils.experiments import read_experiment, training_root

NOT_TIMED = "seconds per clip are not measured: this requires the networks of all methods in one call"
DRAWN = ("white", "own_color_jpeg75", "gray", GLASS, "own_color")


def study(
    runs: Sequence[Run],
    evaluator: Evaluator,
    folder: Path,
    report: Callable[[Record], object],
    steps_folder: Path | None = None,
    prepare: Callable[[Run], None] = lambda _: None,
) -> None:
    """Train and evaluate all runs that are not complete, one after the other.

    Args:
        runs: to train and evaluate.
        evaluator: with the evaluation set and the metrics.
        folder: of the records.
        report: called with each new record, to write the tables.
        steps_folder: of the records of checkpoints during training; None evaluates only the last ones.
        prepare: called before a run is trained, for instance to cache latents.

    Raises:
        UserError: an experiment or data is missing, or a training failed.
    """
    for run in runs:
        marks = {} if steps_folder is None else run.marks
        for steps, checkpoint in [(run.budget.steps, run.checkpoint), *marks.items()]:
            target = folder if checkpoint == run.checkpoint or steps_folder is None else steps_folder
            if evaluator.is_complete(run, checkpoint, target):
                continue
            if not run.checkpoint.is_file():
                prepare(run)
            run.train()
            report(evaluator.fill(run, checkpoint, target, steps))


def ablate(
    ablation: Ablation,
    seeds: Sequence[int],
    budget: Budget,
    benchmarks: Path,
    split: Split = "val",
    stickers: int = 12,
    size: int = 256,
    table_of: Ablation | None = None,
) -> list[Record]:
    """Train and evaluate all arms of an ablation, seed by seed, and write its table.

    Args:
        ablation: the arms to train.
        seeds: of weights and data.
        budget: of each run.
        benchmarks: folder of the records and the table.
        split: of the stickers; not `test` by default, since choices may be based on the result.
        stickers: maximum number of stickers, one of each group, at least 1.
        size: height and width of the clips, pixels.
        table_of: ablation with all arms of the table, if `ablation` has only some of them.

    Returns:
        The records of the table.

    Raises:
        UserError: a number is out of range, an experiment or data is missing, or a training failed.
    """
    if min(budget.steps, stickers, size) < 1:
        raise UserError(f"steps, stickers and size must be at least 1, got {budget.steps}, {stickers} and {size}")
    root = budget.data or training_root(read_experiment(ablation.arms[0].stages[-1]))
    if root is None:
        raise UserError(f"data must be a shard folder, got none in {ablation.arms[0].stages[-1]}: give --data")
    eval_set = AlphaEvalSet(root, split, size, limit=stickers)
    device = pick_device(budget.accelerator)
    shown = [arm for one in (ablation, table_of or ablation) for arm in (*one.arms, *one.starts)]
    configs = {arm.stages[-1].as_posix() for arm in shown}
    records = list[Record]()

    def report(record: Record) -> None:
        if not record.costs["steps"]:
            return  # step 0 is only shown together with trained networks
        records[:] = ablation_records(benchmarks, ablation.name, record, configs)
        write_ablation(ablation.name, records, benchmarks)

    evaluator = AlphaEvaluator(eval_set, ABLATION_CONDITIONS, eval_set.name, device, ablation.method, progress_bar)
    runs = [Run(start, seeds[0], replace(budget, steps=0)) for start in ablation.starts]
    runs += [Run(arm, seed, budget) for seed in seeds for arm in ablation.arms]
    study(runs, evaluator, benchmarks / "results" / f"ablate_{ablation.name}", report)
    return records


def generation(
    runs: Sequence[Run],
    evaluator: VideoEvaluator,
    benchmarks: Path,
    prepare: Callable[[Run], None] = lambda _: None,
    readme: Path | None = None,
    references: Sequence[str] = (),
) -> list[Record]:
    """Fill VSD2M's tables 4, 5 and 7 and figure 6; the page is written after every record.

    Args:
        runs: to train and evaluate.
        evaluator: with the evaluation set and the metrics.
        benchmarks: folder of the records and the tables.
        prepare: see `study`.
        readme: see `write_generation`.
        references: keys of `REFERENCES`, additional rows as floors of the distances.

    Returns:
        The records of the tables; empty without runs.

    Raises:
        UserError: see `study`.
    """
    if not runs:
        return []
    steps, folder, split = runs[-1].budget.steps, benchmarks / GENERATION_RESULTS, evaluator.eval_set.split

    def report(_: Record) -> None:
        write_generation(benchmarks, steps, readme, split)

    for name in references:
        sampler = REFERENCES[name](evaluator.evaluators.device)
        report(evaluator.evaluate(reference_method(name, sampler), sampler, folder))
    study(runs, evaluator, folder, report, benchmarks / GENERATION_STEPS, prepare)
    rows = [evaluator.timed(run, folder) for run in runs if run.followed]
    if not time_together(rows, evaluator.eval_set.first_clip, folder):
        print(NOT_TIMED)
    return write_generation(benchmarks, steps, readme, split)


def animation(
    runs: Sequence[Run],
    references: Sequence[str],
    evaluator: AnimationEvaluator,
    benchmarks: Path,
    prepare: Callable[[Run], None] = lambda _: None,
    readme: Path | None = None,
) -> list[Record]:
    """Fill Layer-Animate's table I and ablation, and the rows that are not trained by the benchmark.

    Args:
        runs: to train and evaluate.
        references: keys of `REFERENCES`; those without weights are skipped with a message.
        evaluator: with the evaluation set and the metrics.
        benchmarks: folder of the records and the page.
        prepare: see `study`.
        readme: see `write_animation`.

    Returns:
        The records of the page.

    Raises:
        UserError: see `study`.
    """
    folder, split = benchmarks / ANIMATION_RESULTS, evaluator.eval_set.split
    rows: list[tuple[Record, Load]] = []
    for name in references:
        try:
            sampler = REFERENCES[name](evaluator.evaluators.device)
        except UserError as error:  # missing weights: skip the row
            print(f"{REFERENCE_TITLES[name]}: {error}")
            continue
        record = evaluator.evaluate(reference_method(name, sampler), sampler, folder)
        write_animation(benchmarks, readme, split)
        if name in ROUTES:
            rows.append((record, lambda sampler=sampler: sampler))  # type: ignore[misc]
    study(runs, evaluator, folder, lambda _: write_animation(benchmarks, readme, split), prepare=prepare)
    rows += [evaluator.timed(run, folder) for run in runs if run.seed == 0]
    if not time_together(rows, evaluator.eval_set.first_clip, folder):
        print(NOT_TIMED)
    return write_animation(benchmarks, readme, split)


def evaluate_run(
    run: Path,
    data: str | None = None,
    split: Split = "val",
    stickers: int = 16,
    size: int = 256,
    transparency: str = SHIPPED_TRANSPARENCY,
    device: str = "auto",
) -> tuple[Path, Path]:
    """Evaluate a run's ILDiff next to LayerDiffuse and two classic methods, print the table, and draw pictures.

    Args:
        run: folder with `config.yaml` and `checkpoints/last.ckpt`.
        data: shard folder; None for the one that the run was trained on.
        split: of the stickers.
        stickers: maximum number of stickers, one of each group.
        size: height and width of the clips, pixels.
        transparency: bundle or run of LayerDiffuse's VAE with alpha.
        device: `auto`, `cpu` or `cuda`.

    Returns:
        The PNG and the animated WebP.

    Raises:
        UserError: the run does not exist, or it has no data and none is given.
    """
    from glassine.bench.gallery import draw

    config = read_run_config(run / "checkpoints" / "last.ckpt")
    root = data or training_root(config)
    if not root:
        raise UserError(f"data must be a shard folder for {run}, which was trained on procedural stickers: give --data")
    eval_set = AlphaEvalSet(root, split, size, limit=stickers)
    place: torch.device = pick_device(device)
    names = ["flood_fill", "color_projection", "layer_diffuse"]
    simple = make_methods(names, Sources(transparency=transparency), place)
    ildiff = ildiff_method(str(run), place)
    if ildiff.function is None:
        raise UserError(ildiff.missing)
    methods = [*simple, ildiff]
    evaluator = AlphaEvaluator(eval_set, ABLATION_CONDITIONS, eval_set.name, progress=progress_bar)
    records = evaluator.evaluate(methods, run / "scores")
    print_scores(records, f"{run} on held-out stickers")
    shown = [name for name in DRAWN if name in eval_set.conditions][: len(eval_set)]
    rows = [(CONDITION_TITLES[name], eval_set.dataset(name)) for name in shown]
    still, animated = draw(rows, (simple[-1], ildiff), run / "held_out")
    print(f"picture:   {still}\nanimation: {animated}")
    return still, animated
