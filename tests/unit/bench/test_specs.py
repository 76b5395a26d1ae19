"""What is trained: methods, seeds and training sets of the video tables, and the arms of the ablations."""

import pytest
import yaml

from glassine.bench.protocols import SETS
from glassine.bench.run import Budget
from glassine.bench.specs import (
    ANIMATION,
    ILDIFF,
    METHODS,
    POSITIONS,
    SHARED_DEPTHS,
    VARIANTS,
    animation_runs,
    depth_ablation,
    depth_arm,
    generation_runs,
    run_on,
    variant_arm,
    variants_ablation,
)
from glassine.utils.errors import UserError
from glassine.utils.experiments import read_experiment


@pytest.mark.parametrize("name", SHARED_DEPTHS)
def test_a_shared_run_is_what_the_variants_own_yaml_says(name):
    arm = variant_arm(name)
    own, asked = read_experiment(ILDIFF / f"{name}.yaml"), read_experiment(arm.stages[0])
    option, value = arm.overrides
    *path, last = option.removeprefix("--").split(".")
    part = asked
    for key in path:
        part = part[key]
    part[last] = yaml.safe_load(value)
    for content in (own, asked):
        del content["trainer"]["logger"]  # the run's name
    assert asked == own


def test_every_variant_is_an_arm_and_a_depth_is_not_negative():
    assert [arm.title for arm in variants_ablation().arms] == list(VARIANTS.values())
    with pytest.raises(UserError, match="depth must be 0 or more, got -1"):
        depth_arm(-1)


def test_all_methods_are_planned_and_first_seeds_come_first():
    runs = generation_runs(list(METHODS), ["stickers", "both", "stills", "all"], None, Budget())
    seeds = {method: {run.seed for run in runs if run.spec.name == method} for method in METHODS}
    assert all(found == {0, 1, 2} for found in seeds.values())
    assert [run.seed for run in runs] == sorted(run.seed for run in runs)
    assert {run.spec.name for run in runs if run.training_set in ("stills", "all")} == {"sti"}
    start = runs[0]
    assert (start.name, start.budget.steps) == ("sti_start-seed0-0steps", 0)
    assert set(start.trained_on.tested_on) == set(SETS)


def test_positions_are_rows_of_their_own_on_real_stickers():
    runs = generation_runs(list(POSITIONS), ["stickers", "both"], 1, Budget())
    named = {run.training_set: {one.spec.name for one in runs if one.training_set == run.training_set} for run in runs}
    assert named["stickers"] == set(POSITIONS)
    assert named["both"] == set(POSITIONS) & set(METHODS)


def test_arms_that_start_alike_have_one_row_of_step_0():
    assert [one.title for one in depth_ablation().starts] == ["step 0: nothing trained"]
    assert [one.name for one in variants_ablation().starts] == ["depth0_start", "variants-hint_no_adapter_start"]
    assert [one.name for one in variants_ablation(["variants/hint"]).starts] == ["variants-hint_no_adapter_start"]


def test_a_run_gets_its_seed_its_data_and_the_checkpoint_of_its_first_stage():
    (one,) = run_on(METHODS["sti"], "both", 2, Budget(steps=7)).stages()
    overrides = " ".join(one.overrides)
    assert one.folder.name == "sti-both-seed2-7steps"
    assert "--seed_everything 2" in overrides
    assert '--data.train.init_args.folders ["data/latents/stickers", "data/latents/procedural"]' in overrides
    assert run_on(METHODS["sti"], "both", 2, Budget(steps=7)).marks == {}
    assert run_on(METHODS["sti"], "stickers", 1, Budget(steps=7)).marks == {}
    followed = run_on(METHODS["sti"], "stickers", 0, Budget(steps=400, marks=4))
    assert list(followed.marks) == [100, 200, 300]
    assert followed.marks[100] == followed.stages()[-1].folder / "checkpoints" / "step-000100.ckpt"
    assert "KeptCheckpoints --trainer.callbacks.every_n_train_steps 100" in " ".join(followed.stages()[-1].overrides)
    first, second = run_on(METHODS["video_gpt"], "procedural", 0, Budget(steps=7)).stages()
    assert "--data.train.init_args.root null" in " ".join(first.overrides)
    assert str(first.checkpoint) in second.overrides


def test_shared_weights_are_laid_over_all_methods_but_those_that_start_from_nothing(tmp_path):
    shared = tmp_path / "shared.yaml"
    shared.write_text("model: {init_args: {spatial_from: 'glassine:other'}}\n")
    budget = Budget(steps=7, start=shared)
    (one,) = run_on(METHODS["sti"], "stickers", 0, budget).stages()
    assert (one.folder.name, one.over) == ("sti-stickers-shared-seed0-7steps", shared)
    assert one.arguments()[1:5] == ["-c", "experiments/vsd2m/tiny_sti.yaml", "-c", str(shared)]
    assert one.asked()["config"]["model"]["init_args"]["spatial_from"] == "glassine:other"
    assert run_on(METHODS["video_gpt"], "stickers", 0, budget).name == "video_gpt-stickers-seed0-7steps"
    assert all(stage.over is None for stage in run_on(METHODS["video_gpt"], "stickers", 0, budget).stages())


def test_every_row_of_layer_animate_has_three_seeds():
    runs = animation_runs(list(ANIMATION), None, Budget(steps=5))
    seeds = {name: [run.seed for run in runs if run.spec.name == name] for name in ANIMATION}
    assert seeds["layer_animate"] == seeds["still_moving"] == seeds["motion_module"] == [0, 1, 2]
    assert seeds["first_frame"] == [0, 1, 2]
    assert [run.name for run in runs[:2]] == ["motion_module_start-seed0-0steps", "layer_animate_start-seed0-0steps"]
    first, second = run_on(ANIMATION["still_moving"], "transparent", 1, Budget(steps=5)).stages()
    assert ("--model.init_args.init_from", str(first.checkpoint)) in zip(
        second.overrides, second.overrides[1:], strict=False
    )
    assert '--data.train.init_args.folders ["data/latents/transparent_loops"]' in " ".join(second.overrides)
