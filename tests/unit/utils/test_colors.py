from glassine.utils.colors import DARK, LIGHT, checkerboard


def test_squares_alternate_both_ways_and_the_corner_is_light():
    light_first, dark_first = ([a, a, b, b, a, a] for a, b in ((LIGHT, DARK), (DARK, LIGHT)))
    assert checkerboard(4, 6, square=2)[..., 0].tolist() == [light_first] * 2 + [dark_first] * 2
