import pytest

from glassine.pipelines.cutout import overlapping_windows


@pytest.mark.parametrize("size", [1, 2, 5, 16])
@pytest.mark.parametrize("radius", [0, 1, 3, 7])
@pytest.mark.parametrize("length", [0, 1, 2, 5, 6, 23])
def test_each_item_is_own_once_with_all_the_context_there_is(length, size, radius):
    owned = []
    for window in overlapping_windows(range(length), size, radius):
        own = window.items[window.own]
        assert 1 <= len(own) <= size
        first, last = max(own[0] - radius, 0), min(own[-1] + radius, length - 1)
        assert window.items == list(range(first, last + 1))
        owned += own
    assert owned == list(range(length))


def test_an_endless_row_is_read_only_as_far_as_needed():
    read = []

    def endless():
        number = 0
        while True:
            read.append(number)
            yield number
            number += 1

    windows = overlapping_windows(endless(), size=4, radius=2)
    assert next(windows).items == [0, 1, 2, 3, 4, 5]
    assert next(windows).items == [2, 3, 4, 5, 6, 7, 8, 9]
    assert read == list(range(10))
