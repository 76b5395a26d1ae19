import numpy as np
import pytest
import torch
from scipy import ndimage

from glassine.metrics import Conn


def _reference(pred, true):
    """Follow the definition with SciPy's labelling, all thresholds, the whole frame."""
    level = np.full(true.shape, -1.0)
    for step in range(1, 11):
        both = (pred >= step / 10) & (true >= step / 10)
        labels, count = ndimage.label(both)  # 4 neighbors
        body = np.zeros(true.shape, bool)
        if count:
            body = labels == 1 + np.argmax(ndimage.sum_labels(both, labels, range(1, count + 1)))
        level[(level == -1) & ~body] = (step - 1) / 10
    level[level == -1] = 1
    phis = []
    for alpha in (pred, true):
        distance = (alpha - level).astype(np.float32)  # float32 as the clips are: 0.15 falls on the same side
        phis.append(np.where(distance >= np.float32(0.15), 1 - distance, 1))
    return np.abs(phis[0] - phis[1]).sum() / 1000


def _score(pred, true):
    metric = Conn()
    metric.update(pred, true)
    return metric.per_clip().numpy()


def _expected(pred, true):
    return [
        np.mean([_reference(p[0], t[0]) for p, t in zip(*pair, strict=True)])
        for pair in zip(pred.numpy(), true.numpy(), strict=True)
    ]


def test_equals_the_definition(clips):
    np.testing.assert_allclose(_score(*clips), _expected(*clips), rtol=1e-5)


def test_equals_the_definition_on_noise():
    generator = torch.Generator().manual_seed(3)
    pred, true = (torch.rand(2, 2, 1, 24, 20, generator=generator) ** 0.3 for _ in range(2))
    np.testing.assert_allclose(_score(pred, true), _expected(pred, true), rtol=1e-5)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_constant_frames(value):
    constant = torch.full((1, 2, 1, 8, 8), value)
    assert _score(constant, constant).tolist() == [0]
    # nothing overlaps: every pixel's level is 0 and it counts in full
    assert _score(constant, 1 - constant).item() == pytest.approx(0.064)


def test_a_detached_part_is_an_error_only_where_the_alphas_differ():
    true = torch.zeros(1, 1, 1, 16, 16)
    true[..., 2:10, 2:10] = 1
    true[..., 12:14, 12:14] = 1
    assert _score(true, true).tolist() == [0]
    pred = true.clone()
    pred[..., 12:14, 12:14] = 0
    assert _score(pred, true).item() == pytest.approx(4 / 1000)
