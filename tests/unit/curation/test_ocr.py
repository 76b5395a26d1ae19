import numpy as np
import pytest

from glassine.curation.ocr import Line, RapidOcr, join_lines, on_flat, read_frames
from glassine.curation.ocr_accuracy import TextStyle, bundled_fonts, edit_distance, ocr_accuracy, text_sticker
from glassine.curation.parts import build_part
from glassine.utils.errors import UserError


def line(text: str, score: float = 0.95, top: float = 0) -> Line:
    return Line(text, score, top, 0)


def test_text_that_appears_letter_by_letter_is_said_once():
    assert join_lines([[line("Hap")], [line("Happy bi")], [line("Happy birthday")]]) == "Happy birthday"


def test_lines_of_one_frame_stay_in_their_order_and_later_ones_follow():
    assert join_lines([[line("below", top=60), line("above", top=5)], [line("last")]]) == "above below last"


def test_a_misread_line_gives_way_to_the_surer_one():
    assert join_lines([[line("He1lo", 0.75)], [line("Hello", 0.99)], [line("Hell0", 0.72)]]) == "Hello"


def test_light_drawings_lie_on_dark_and_dark_ones_on_white():
    frames = np.zeros((1, 8, 8, 4), np.uint8)
    frames[:, 2:6, 2:6] = (250, 250, 250, 255)
    assert on_flat(frames)[0, 0, 0].max() < 60
    frames[:, 2:6, 2:6] = (10, 10, 10, 255)
    assert on_flat(frames)[0, 0, 0].min() == 255


def test_another_engine_comes_by_class_path():
    asked = {"class_path": "glassine.curation.ocr.RapidOcr", "init_args": {"side": 200}}
    assert isinstance(build_part(asked, "ocr"), RapidOcr)
    with pytest.raises(UserError, match="there is no glassine"):
        build_part("glassine.curation.ocr.Nothing", "ocr")
    with pytest.raises(UserError, match="does not take these init_args"):
        build_part({"class_path": "glassine.curation.ocr.RapidOcr", "init_args": {"wrong": 1}}, "ocr")


def test_edit_distance_counts_letters():
    assert edit_distance("kitten", "sitting") == 3
    assert edit_distance("", "abc") == 3
    assert edit_distance("same", "same") == 0


def test_words_in_a_sticker_are_read():
    pytest.importorskip("rapidocr")
    sticker = text_sticker("Thank you", TextStyle(bundled_fonts()[1], True, True), 3)
    assert read_frames(RapidOcr(), sticker.frames[::4]).casefold().replace(" ", "") == "thankyou"


def test_accuracy_is_that_of_the_engine():
    class Deaf:
        identity = "deaf"

        def read(self, picture):
            return [line("Hello")]

    found = ocr_accuracy(Deaf(), ["Hello", "Bye"], bundled_fonts(), 64)
    assert found["all"]["n"] == 8
    assert found["all"]["exact"] == 0.5
    assert found["all"]["character_error_rate"] == pytest.approx(4 * 5 / (4 * 8))  # Bye -> Hello: five letters
