"""Closed-form alpha against a known background: edges, thin lines, noise, closed areas as wholes."""

import cv2
import numpy as np
import pytest

from glassine.pipelines.background_models import find_behind
from glassine.pipelines.background_track import BackgroundTrack
from glassine.pipelines.closed_cutout import ClosedCutter, vote
from glassine.pipelines.closed_form import closed_form, look
from glassine.pipelines.file_noise import noise_near_edges

SIZE, SCALE = 128, 8
WHITE, GRAY = (255, 255, 255), (128, 128, 128)


def drawn(draw, background=WHITE) -> tuple[np.ndarray, np.ndarray]:
    """The opaque picture and its true alpha in 0..255, of what `draw` draws on an enlarged RGBA canvas."""
    canvas = np.zeros((SIZE * SCALE, SIZE * SCALE, 4), np.float32)
    draw(canvas)
    canvas[..., :3] *= canvas[..., 3:] / 255
    small = cv2.resize(canvas, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    alpha = small[..., 3:]
    return (small[..., :3] + np.asarray(background) * (1 - alpha / 255)).round().astype(np.uint8), alpha[..., 0]


def ellipse(canvas, center, axes, color, width=-1):
    thick = width if width < 0 else round(width * SCALE)
    center, axes = (tuple(round(v * SCALE) for v in pair) for pair in (center, axes))
    cv2.ellipse(canvas, center, axes, 0, 0, 360, (*color, 255), thick)


def jpeg(picture: np.ndarray, quality: int = 75) -> np.ndarray:
    data = cv2.imencode(".jpg", picture[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, quality))[1]
    return np.ascontiguousarray(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1])


def alpha_of(picture: np.ndarray) -> np.ndarray:
    """All of it: background, closed form, closed areas."""
    cutter = ClosedCutter(BackgroundTrack([picture]))
    cut = cutter.cut(picture)
    cutter.decide([cut])
    return cut.decided()


def psnr(found: np.ndarray, truth: np.ndarray) -> float:
    error = float(np.square(found.astype(float) - truth).mean())
    return 10 * np.log10(255**2 / max(error, 1e-6))


def bell(canvas):
    ellipse(canvas, (64, 60), (30, 34), (10, 10, 10))
    ellipse(canvas, (64, 96), (7, 7), (10, 10, 10))


def thin_ring(canvas):
    ellipse(canvas, (64, 64), (44, 44), (150, 150, 150), 2.2)


def face(canvas):
    ellipse(canvas, (64, 64), (44, 44), (40, 30, 20))
    ellipse(canvas, (64, 64), (41, 41), (255, 205, 70))
    for x in (46, 82):
        ellipse(canvas, (x, 54), (10, 12), (40, 30, 20))
        ellipse(canvas, (x, 54), (8, 10), (255, 255, 255))
        ellipse(canvas, (x, 56), (4, 4), (20, 20, 20))


def squares(canvas):
    for x in (30, 64, 98):
        for y in (30, 64, 98):
            box = [(v - 9) * SCALE for v in (x, y)], [(v + 9) * SCALE for v in (x, y)]
            cv2.rectangle(canvas, box[0], box[1], (200, 70, 40, 255), -1)


@pytest.mark.parametrize("draw", [bell, thin_ring, face, squares])
@pytest.mark.parametrize("background", [GRAY, (30, 160, 90), (0, 0, 60)])
def test_flat_art_is_cut_out_at_its_edges_exactly(draw, background):
    picture, truth = drawn(draw, background)
    assert psnr(alpha_of(picture), truth) > 36


@pytest.mark.parametrize(("draw", "least"), [(bell, 32), (face, 28), (squares, 26), (thin_ring, 24)])
def test_compression_leaves_no_ragged_edges_and_no_bridges(draw, least):
    for quality in (75, 90):
        picture, truth = drawn(draw)
        assert psnr(alpha_of(jpeg(picture, quality)), truth) > least


def test_eyes_on_white_are_opaque_as_wholes():
    picture, _ = drawn(face)
    alpha = alpha_of(picture)
    assert (alpha[50:62, 40:53] == 255).all()
    assert (alpha[50:62, 76:89] == 255).all()


def test_what_a_black_outline_closes_in_on_white_is_paper():
    picture, _ = drawn(lambda canvas: ellipse(canvas, (64, 64), (14, 20), (0, 0, 0), 2))
    alpha = alpha_of(picture)
    assert (alpha[52:77, 56:73] == 255).all()


def test_a_hole_shows_the_background_on_any_other_color():
    def donut(canvas):
        ellipse(canvas, (64, 64), (44, 44), (200, 90, 120))
        cv2.circle(canvas, (64 * SCALE, 64 * SCALE), 18 * SCALE, (0, 0, 0, 0), -1)

    for background in (GRAY, (40, 200, 170)):
        picture, truth = drawn(donut, background)
        alpha = alpha_of(picture)
        assert (alpha[54:75, 54:75] == 0).all()
        assert psnr(alpha, truth) > 36


def test_white_eyes_on_a_white_and_gray_checkerboard_are_not_holes_in_part():
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    board = np.where(((x // 8 + y // 8) % 2 > 0)[..., None], 204, 255) * np.ones(3)
    picture, truth = drawn(face)
    share = truth[..., None] / 255
    on_board = (picture - 255 * (1 - share) + board * (1 - share)).round().clip(0, 255).astype(np.uint8)
    alpha = alpha_of(on_board)
    assert (alpha[48:62, 41:52] > 250).mean() > 0.9
    assert psnr(alpha, truth) > 26


def test_an_area_has_one_answer_over_time():
    def blink(openness: float):
        def draw(canvas):
            ellipse(canvas, (64, 64), (44, 44), (255, 205, 70))
            ellipse(canvas, (64, 54), (12, max(1.5, 12 * openness)), (40, 30, 20))
            ellipse(canvas, (64, 54), (10, max(1.0, 10 * openness)), (255, 255, 255))
            if openness > 0.7:
                ellipse(canvas, (64, 54), (4, 4), (20, 20, 20))

        return draw

    frames = [drawn(blink(openness))[0] for openness in (1.0, 0.8, 0.6, 0.5, 0.6, 0.8, 1.0)]
    cutter = ClosedCutter(BackgroundTrack(frames))
    cuts = [cutter.cut(frame) for frame in frames]
    cutter.decide(cuts)
    signs = {value > 0 for cut in cuts for value in cut.evidence.values()}
    assert signs == {False}
    for cut in cuts:
        assert cut.decided()[54, 57] == 255


def test_undamaged_files_have_no_noise_and_compressed_ones_do():
    for draw in (bell, face, squares):
        picture, _ = drawn(draw, GRAY)
        for shown, low, high in ((picture, 0, 0), (jpeg(picture, 60), 3, 14)):
            behind = find_behind(shown)
            evidence = look(shown, behind.picture(shown), behind.noise)
            assert low <= evidence.noise <= high


def test_shading_that_meets_the_background_is_not_taken_for_noise():
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
    away = np.hypot(x - 64, y - 64)
    picture = np.full((SIZE, SIZE, 3), 255, np.float32)
    picture[away < 50] -= (2.0 + 0.02 * (50 - away[away < 50, None]) ** 2) * np.array([0.3, 0.5, 1.0])
    picture = picture.round().astype(np.uint8)
    distance = np.abs(picture.astype(np.float32) - 255).max(axis=2)
    noise, _ = noise_near_edges(picture, distance)
    assert noise == 0


def test_a_frame_that_equals_the_one_before_is_not_computed_again():
    picture, _ = drawn(face)
    cutter = ClosedCutter(BackgroundTrack([picture]))
    assert cutter.cut(picture) is cutter.cut(picture.copy())


def test_nothing_but_background_gives_nothing():
    for size in ((1, 1), (1, 40), (3, 3), (16, 16)):
        picture = np.full((*size, 3), 77, np.uint8)
        assert not alpha_of(picture).any()
        behind = find_behind(picture)
        assert not closed_form(look(picture, behind.picture(picture))).alpha.any()


def test_a_network_votes_on_closed_areas_as_wholes():
    picture, _ = drawn(face)
    cutter = ClosedCutter(BackgroundTrack([picture]))
    cut = cutter.cut(picture)
    unsure = np.full((SIZE // 2, SIZE // 2), 0.6, np.float32)
    solid = vote([cut, cut], [unsure, unsure])
    assert solid[0] == solid[1]
    assert all(solid[0].values())
    assert cut.areas is not None
    levels = cut.whole(np.full((SIZE, SIZE), 150, np.uint8), solid[0])
    assert set(levels[cut.areas > 0]) == {255}
    clear = vote([cut], [unsure - 0.3])[0]
    assert set(cut.whole(levels, clear)[cut.areas > 0]) == {0}


def halo_around_a_disc(inner: int, outer: int) -> tuple[np.ndarray, np.ndarray]:
    """A disc of a gray `inner`, with a halo of a gray `outer` around it, on white; and the distance from the middle."""
    y, x = np.mgrid[:96, :96]
    away = np.hypot(y - 48, x - 48)
    plane = np.where(away <= 24, inner, np.where(away <= 34, outer, 255))
    return np.repeat(plane[..., None], 3, axis=2).astype(np.uint8), away


def test_a_faint_halo_before_a_clear_edge_is_nearly_clear_and_a_pale_body_is_not():
    white = np.full((96, 96, 3), 255, np.float32)
    picture, away = halo_around_a_disc(60, 249)
    alpha = closed_form(look(picture, white)).alpha
    assert (alpha[away > 27] < 0.05).all()
    assert (alpha[away < 22] == 1).all()
    picture, away = halo_around_a_disc(244, 249)  # behind the pale rim there is nothing that stands out
    assert (closed_form(look(picture, white)).alpha[away < 30] == 1).all()


def test_a_halo_that_fades_out_keeps_its_alpha():
    y, x = np.mgrid[:128, :128]
    away = np.hypot(y - 64, x - 64)
    truth = np.where(away <= 40, 1.0, np.clip(0.07 - 0.01 * (away - 40), 0, 0.07))
    for dark in ((70, 60, 90), (20, 60, 160)):
        for gray in (128, 255):
            picture = truth[..., None] * np.asarray(dark) + (1 - truth[..., None]) * gray
            alpha = closed_form(look(picture.round().astype(np.uint8), np.full((128, 128, 3), gray, np.float32))).alpha
            assert np.abs(alpha - truth)[np.abs(away - 40) > 1].max() < 0.05


def test_an_edge_of_a_shade_of_its_own_is_mixed_from_what_is_about_its_color():
    y, x = np.mgrid[:96, :96]
    depth = 31 - np.maximum(np.abs(y - 48), np.abs(x - 48))
    picture = np.full((96, 96, 3), 128, np.uint8)
    # red with an edge of a wine red, of which the outermost pixels hold a quarter
    for row, color in enumerate(((116, 103, 115), (140, 29, 95), (195, 29, 69), (216, 22, 59), (218, 17, 61)), start=1):
        picture[depth >= row] = color
    alpha = closed_form(look(picture, np.full(picture.shape, 128, np.float32))).alpha
    assert np.abs(alpha[depth == 1] - 0.25).max() < 0.06
    assert (alpha[depth > 1] > 0.99).all()


def test_the_edge_of_a_dithered_sticker_is_as_opaque_as_its_inside():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:128, :128]
    inside = np.hypot(y - 64, x - 64) <= 44
    palette = np.asarray([[40, 30, 60], [70, 30, 40], [30, 60, 50], [60, 50, 30]], np.uint8)
    picture = np.where(inside[..., None], palette[rng.integers(0, 4, inside.shape)], 255).astype(np.uint8)
    alpha = closed_form(look(picture, np.full(picture.shape, 255, np.float32))).alpha
    assert np.abs(alpha - inside).mean() < 0.004
