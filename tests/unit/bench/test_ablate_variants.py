"""Variants whose runs the depth ablation shares."""

import pytest
import yaml

from glassine.bench.ablate_variants import DEPTHS, FOLDER, variant_arm
from glassine.utils.experiments import read_experiment


@pytest.mark.parametrize("name", DEPTHS)
def test_a_shared_run_is_what_the_variants_own_yaml_says(name):
    own, arm = read_experiment(FOLDER / f"{name}.yaml"), variant_arm(name)
    asked = read_experiment(arm.config)
    option, value = arm.overrides
    *path, last = option.removeprefix("--").split(".")
    part = asked
    for key in path:
        part = part[key]
    part[last] = yaml.safe_load(value)
    for content in (own, asked):
        del content["trainer"]["logger"]  # the run's name
    assert asked == own
