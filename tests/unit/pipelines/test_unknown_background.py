"""Pictures whose background fits no model: the sticker is guessed, from motion where there is any."""

import cv2
import numpy as np

from glassine.pipelines.cutout import CutoutPipeline
from glassine.pipelines.unknown_background import Subject, guess_alpha

SIZE = 96


def clutter(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    picture = cv2.resize(rng.random((9, 9, 3)), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC) * 120
    return picture.clip(0, 255).astype(np.uint8)


def with_ball(background: np.ndarray, x: int) -> tuple[np.ndarray, np.ndarray]:
    picture, truth = background.copy(), np.zeros((SIZE, SIZE), np.uint8)
    cv2.circle(picture, (x, 48), 14, (255, 210, 60), -1, cv2.LINE_AA)
    cv2.circle(truth, (x, 48), 14, (255,), -1, cv2.LINE_AA)
    return picture, truth


def overlap(alpha: np.ndarray, truth: np.ndarray) -> float:
    found, true = alpha > 0.5 * max(float(alpha.max()), 1e-6), truth > 127
    return float((found & true).sum() / max((found | true).sum(), 1))


def test_a_point_or_a_box_says_where_the_sticker_is():
    picture, truth = with_ball(clutter(), 26)
    assert overlap(guess_alpha(picture, Subject(26 / 96, 0.5)), truth) > 0.85
    assert overlap(guess_alpha(picture, Subject(8 / 96, 30 / 96, 46 / 96, 66 / 96)), truth) > 0.85


def test_a_sticker_that_moves_before_a_still_picture_is_found():
    background = clutter(2)
    drawn = [with_ball(background, round(48 + 26 * np.sin(2 * np.pi * k / 12))) for k in range(12)]
    frames = [np.dstack([picture, np.full((SIZE, SIZE), 255, np.uint8)]) for picture, _ in drawn]
    pipeline = CutoutPipeline.from_pretrained(device="cpu")
    results = [frame[..., 3] for frame, _ in pipeline.stream((frame, 40) for frame in frames)]
    assert np.mean([overlap(alpha, truth) for alpha, (_, truth) in zip(results, drawn, strict=True)]) > 0.8
    assert pipeline.report.background == "picture"
    assert pipeline.report.confidence < 0.5
    assert pipeline.report.warnings


def test_a_guess_that_finds_nothing_loses_nothing():
    flat = np.full((40, 40, 3), 90, np.uint8)
    assert (guess_alpha(flat) == 1).all()


def test_a_prior_that_was_asked_keeps_its_answer():
    """A damaged file whose background fits halfway: the network for flat backgrounds must not take over."""
    rng = np.random.default_rng(4)
    frames = []
    for _ in range(4):
        picture = np.full((SIZE, SIZE, 3), 200, np.uint8)
        picture[:, 50:] = clutter(1)[:, 50:] + 60
        picture, _ = with_ball(picture, 48)
        picture = (picture + rng.normal(0, 6, picture.shape)).clip(0, 255).astype(np.uint8)
        frames.append((np.dstack([picture, np.full((SIZE, SIZE), 255, np.uint8)]), 40))
    asked = []

    def prior(picture: np.ndarray, subject: Subject | None) -> np.ndarray:
        asked.append(subject)
        mask = np.zeros(picture.shape[:2], np.float32)
        mask[20:40, 20:40] = 1
        return mask

    class Fails:
        def __call__(self) -> None:
            raise AssertionError("no network is needed here")

    pipeline = CutoutPipeline(Fails(), device="cpu")
    results = [frame[..., 3] for frame, _ in pipeline.stream(frames, prior=prior)]
    assert asked
    assert pipeline.report.method == "prior"
    assert pipeline.report.asked == len(asked)
    for alpha in results:
        assert (alpha[24:36, 24:36] > 200).all()
        assert (alpha[60:] < 60).all()
