import numpy as np

from glassine.pipelines.alpha_levels import settle_alpha


def test_what_nobody_sees_is_clear_and_what_is_nearly_opaque_is_opaque():
    assert settle_alpha(np.array([0, 3, 4, 5, 128, 246, 247, 255], np.uint8)).tolist() == [
        0,
        0,
        0,
        5,
        128,
        246,
        255,
        255,
    ]
