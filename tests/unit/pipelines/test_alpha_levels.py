import numpy as np

from glassine.pipelines.backgrounds import settle_alpha


def test_what_nobody_sees_is_clear_and_what_is_nearly_opaque_is_opaque():
    came, wanted = [0, 3, 4, 5, 128, 246, 247, 255], [0, 0, 0, 5, 128, 246, 255, 255]
    assert settle_alpha(np.array(came, np.uint8)).tolist() == wanted
