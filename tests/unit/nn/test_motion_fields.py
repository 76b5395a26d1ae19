import cv2
import numpy as np
import pytest

from glassine.nn.motion_fields import (
    LEAST_AREA,
    amount_of,
    fit_motion,
    move,
    premultiplied,
    reach,
    smoothed,
    straight,
    terms,
    without_folds,
)

SIDE = 64


def disc(x: float, y: float, radius: float = 14) -> np.ndarray:
    """A disc with two spots, antialiased, `h w 4` uint8."""
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    image = np.zeros((SIDE, SIDE, 4), np.uint8)
    image[..., :3] = (230, 190, 40)
    for at in (-5, 5):
        image[(columns - x - at) ** 2 + (rows - y + 3) ** 2 < 9, :3] = (40, 20, 90)
    image[..., 3] = (255 * (radius - np.hypot(columns - x, rows - y) + 0.5).clip(0, 1)).astype(np.uint8)
    return image


def circling(frames: int = 16, radius: float = 6) -> np.ndarray:
    """A disc that goes once around the middle of the frame."""
    angles = 2 * np.pi * np.arange(frames) / frames
    middle = SIDE / 2 - 0.5
    return np.stack([disc(middle + radius * np.cos(a), middle + radius * np.sin(a)) for a in angles])


def test_terms_are_zero_at_the_still_and_come_back_after_a_loop():
    rows = terms(12, 5)
    assert rows.shape == (12, 8)
    assert np.abs(rows[5]).max() == 0
    assert np.allclose(terms(24, 10)[::2], rows, atol=1e-6)


def test_the_motion_of_a_clip_is_found_and_shows_the_clip_again():
    clip = circling()
    field, amount, gain = fit_motion(clip, 8)
    assert field.shape == (8, 16, 16, 2)
    truth = np.hypot(6 * np.cos(2 * np.pi * np.arange(16) / 16) + 6, 6 * np.sin(2 * np.pi * np.arange(16) / 16)) / SIDE
    assert amount == pytest.approx(np.sqrt(np.square(truth).mean()), rel=0.2)
    assert gain > 6
    assert np.abs(premultiplied(move(clip[8], field, 16, 8)[0]) - premultiplied(clip[0])).mean() < 0.02


@pytest.mark.parametrize("reference", [0, 3, 4, 12])
def test_time_begins_at_the_still_wherever_it_is_in_the_loop(reference):
    clip = circling()
    field, amount, _ = fit_motion(clip, reference)
    truth = 2 * 6 * np.abs(np.sin(np.pi * np.arange(16) / 16)) / SIDE  # chords of a circle
    assert amount == pytest.approx(np.sqrt(np.square(truth).mean()), rel=0.2)
    later = move(clip[reference], field, 16, 8)  # the same loop, with its still at another frame
    ahead = clip[(reference + 4) % 16]
    assert np.abs(premultiplied(later[12]) - premultiplied(ahead)).mean() < 0.03


@pytest.mark.parametrize("num_frames", [2, 3, 5, 16, 24])
def test_the_loop_is_the_same_with_any_number_of_frames(num_frames):
    still, field = circling()[0], fit_motion(circling(), 0).field
    fine = move(still, field, 48 * num_frames // 16 if num_frames % 2 == 0 else 3 * num_frames, 0)
    coarse = move(still, field, num_frames, 0)
    step = len(fine) // num_frames
    assert np.abs(coarse.astype(int) - fine[::step]).max() <= 1
    areas = np.tensordot(terms(num_frames, num_frames // 2), without_folds(20 * field), 1) * 16
    across, down = np.diff(areas, axis=2)[:, :-1], np.diff(areas, axis=1)[:, :, :-1]
    area = (1 + across[..., 0]) * (1 + down[..., 1]) - across[..., 1] * down[..., 0]
    assert area.min() > 0.1


def test_what_is_moved_stays_sharp():
    still = np.zeros((128, 128, 4), np.uint8)
    still[20:108, 20:108] = (250, 250, 250, 255)
    still[20:108, 20:108:6, :3] = still[20:108, 21:108:6, :3] = 10  # lines of two pixels
    field = np.zeros((2, 16, 16, 2), np.float32)
    field[1, ..., 0] = 0.5 / 128  # half a pixel, where interpolation blurs most
    edges = [np.abs(np.diff(frame[40:90, 30:100, 0].astype(int), axis=1)).mean() for frame in move(still, field, 4, 2)]
    assert edges[3] > 0.8 * edges[2]


def test_a_stretch_that_could_not_be_inverted_is_weakened():
    wild = np.zeros((2, 16, 16, 2), np.float32)
    wild[1, :, 6:10, 0] = np.linspace(0, 0.4, 4)
    wild[1, :, 10:, 0] = 0.4
    calm = without_folds(wild)
    assert np.diff(calm[1, ..., 0], axis=1).max() * 16 <= 0.75 + 1e-4
    assert np.array_equal(without_folds(calm), calm)


def test_a_clip_that_stands_still_has_no_motion():
    field, amount, gain = fit_motion(np.repeat(disc(30, 30)[None], 16, axis=0), 8)
    assert amount < 1e-3
    assert gain == pytest.approx(0, abs=0.5)
    assert np.abs(field).max() < 0.01


def test_a_change_of_color_is_no_motion():
    clip = np.repeat(disc(30, 30)[None], 16, axis=0)
    clip[::2, ..., :3] = (clip[::2, ..., :3] * 0.6).astype(np.uint8)
    assert fit_motion(clip, 8).gain < 1


def test_a_moved_still_keeps_its_colors_and_alpha_sharp_and_is_unchanged_at_its_own_frame():
    still = disc(31.5, 31.5)
    field = np.zeros((2, 16, 16, 2), np.float32)
    field[0, ..., 0] = 0.1
    frames = move(still, field, 8, 4)
    assert np.array_equal(frames[4], still)
    expected = disc(31.5 - 2 * 0.1 * SIDE, 31.5)  # half a loop later the cosine is -1, two less than at the still
    assert np.abs(premultiplied(frames[0]) - premultiplied(expected)).mean() < 0.01
    assert not frames[0][frames[0, ..., 3] == 0].any()


def test_a_field_means_the_same_at_every_size():
    field = fit_motion(circling(), 8).field
    small, large = disc(25.5, 31.5), cv2.resize(disc(25.5, 31.5), (192, 192), interpolation=cv2.INTER_CUBIC)
    moved, moved_large = move(small, field, 4, 2)[0], move(large, field, 4, 2)[0]
    shrunk = cv2.resize(premultiplied(moved_large), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    assert np.abs(shrunk - premultiplied(moved)).mean() < 0.01


def test_folds_are_taken_out_and_gentle_fields_are_left_alone():
    gentle = fit_motion(circling(), 8).field * 0.3
    assert np.array_equal(without_folds(gentle), gentle)
    wild = np.zeros((2, 16, 16, 2), np.float32)
    wild[0, ..., 0] = -np.linspace(0, 1, 16)[None]  # everything goes to one line
    calm = without_folds(wild)
    assert 0 < np.abs(calm).max() < np.abs(wild).max()
    paths = np.tensordot(terms(32, 0, 1), calm, 1) * 16
    assert (1 + np.diff(paths[..., 0], axis=2)).min() >= LEAST_AREA - 1e-5


def test_the_amount_counts_what_is_seen():
    field = np.zeros((2, 16, 16, 2), np.float32)
    field[0, :, 8:, 1] = 0.05  # only the right half moves
    left, right = np.zeros((32, 32), np.uint8), np.zeros((32, 32), np.uint8)
    left[:, :16], right[:, 16:] = 255, 255
    assert amount_of(field, left) == pytest.approx(0, abs=1e-6)
    assert amount_of(field, right) == pytest.approx(0.05 * np.sqrt(np.square(terms(16, 8, 1)[:, 0]).mean()), rel=1e-3)


def test_premultiplying_and_back_keeps_what_is_seen():
    still = disc(30, 30)
    back = straight(premultiplied(still))
    assert np.abs(back.astype(int) - np.where(still[..., 3:] > 0, still, 0))[still[..., 3] > 30].max() <= 4


def test_smoothing_keeps_what_moves_as_a_whole_and_takes_the_rough_away():
    whole = np.full((2, 16, 16, 2), 0.1, np.float32)
    assert smoothed(whole, 0) is whole
    np.testing.assert_allclose(smoothed(whole, 1.0), whole, rtol=1e-5)
    rough = np.random.default_rng(0).normal(0, 0.1, whole.shape).astype(np.float32)
    assert smoothed(rough, 1.0).std() < 0.4 * rough.std()


def test_a_still_that_is_too_faint_to_be_seen_small_is_moved_as_a_whole():
    field = np.full((2, 16, 16, 2), 0.1, np.float32)
    nothing = np.zeros((64, 64), np.uint8)
    assert amount_of(field, nothing) > 0.05
    (top, left), (bottom, right) = reach(field, nothing)
    assert bottom - top >= 1
    assert right - left >= 1
