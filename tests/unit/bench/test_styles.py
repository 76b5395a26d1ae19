"""Cut-out over styles: cases are what they say, and backgrounds that are not flat are removed."""

import numpy as np

from glassine.bench.styles import BACKGROUNDS, DAMAGES, on_background, psnr, rows, stickers, table


def test_cases_have_exact_truth_and_every_background():
    kinds = stickers([], "val", 1, 1)
    assert len(kinds) == len({style for style, _ in kinds}) == 8
    frames = kinds[0][1]
    for background in BACKGROUNDS:
        shown = on_background(frames, background, None, 0)
        assert (shown[..., 3] == 255).all()
        opaque = frames[..., 3] == 255
        np.testing.assert_array_equal(shown[opaque], frames[opaque])


def test_a_perfect_cut_is_best_and_the_table_has_a_row_a_method_and_condition():
    kinds = stickers([], "val", 1, 1)[:1]
    truth = kinds[0][1][..., 3]
    assert psnr(truth, truth) == 60
    text = table(kinds, {"perfect": lambda frames, damaged: truth, "nothing": lambda frames, damaged: truth * 0})
    assert text.count("| perfect |") == text.count("| nothing |") == len(BACKGROUNDS) * len(DAMAGES)
    assert "| white + JPEG 75 | perfect | 60.0 | 60.0 | 0% |" in text


def test_the_closed_form_removes_a_gradient():
    frames = stickers([], "val", 1, 1)[0][1]
    shown = on_background(frames, BACKGROUNDS[3], None, 1)
    methods = rows()
    found, filled = (
        psnr(methods[n](shown, False), frames[..., 3]) for n in ("closed-form", "flood fill + color projection")
    )
    assert found > filled + 10
