"""The orders of a review's page."""

from collections import Counter

from glassine.review.plan import draw_forms


def test_of_annotators_in_a_row_each_clip_stands_once_in_every_place():
    forms = draw_forms([3, 4], seed=1, forms=12)
    for prompt, count in ((0, 3), (1, 4)):
        orders = [next(shown[1:] for shown in form if shown[0] == prompt) for form in forms]
        for start in range(0, 12, count):
            block = orders[start : start + count]
            for place in range(count):
                assert {order[place] for order in block} == set(range(count))


def test_the_order_differs_by_annotator_prompt_and_seed_and_is_drawn_again_alike():
    counts = [4] * 20
    forms = draw_forms(counts, seed=0)
    assert forms == draw_forms(counts, seed=0)
    assert forms != draw_forms(counts, seed=1)
    assert len({tuple(shown[0] for shown in form) for form in forms}) == len(forms)
    assert all(sorted(shown[0] for shown in form) == list(range(20)) for form in forms)
    assert len({tuple(shown[1:]) for shown in forms[0]}) > 8  # no fixed order of teachers
    first = Counter(shown[1] for form in forms for shown in form)
    assert max(first.values()) == min(first.values())  # no clip is favored by its place
