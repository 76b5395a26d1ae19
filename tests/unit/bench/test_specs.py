"""What is trained: methods, seeds and training sets of the video tables, and the arms of the ablations."""

import pytest
import yaml

from glassine.bench.run import Budget
from glassine.bench.specs import (
    ANIMATION,
    ILDIFF,
    METHODS,
    SHARED_DEPTHS,
    VARIANTS,
    animation_runs,
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
    assert seeds["sti"] == seeds["video_ldm"] == {0, 1, 2}
    assert seeds["video_gpt"] == {0}
    assert [run.seed for run in runs] == sorted(run.seed for run in runs)
    assert {run.spec.name for run in runs if run.training_set in ("stills", "all")} == {"sti"}


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


def test_table_one_has_three_seeds_and_the_ablation_one():
    runs = animation_runs(list(ANIMATION), None, Budget(steps=5))
    seeds = {name: [run.seed for run in runs if run.spec.name == name] for name in ANIMATION}
    assert seeds["layer_animate"] == seeds["still_moving"] == seeds["motion_module"] == [0, 1, 2]
    assert seeds["first_frame"] == [0]
    first, second = run_on(ANIMATION["still_moving"], "transparent", 1, Budget(steps=5)).stages()
    assert ("--model.init_args.init_from", str(first.checkpoint)) in zip(
        second.overrides, second.overrides[1:], strict=False
    )
    assert '--data.train.init_args.folders ["data/latents/transparent_loops"]' in " ".join(second.overrides)
