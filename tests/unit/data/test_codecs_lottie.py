"""Lottie is drawn at any size with straight alpha, and bad files are refused before anything is drawn."""

import contextlib
import gzip
import io
import json
import os
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from tests.helpers.drawings import as_dotlottie, as_json, as_tgs, fixed, layer, lottie, sliding, square

from glassine.__main__ import plain_warnings
from glassine.data.codecs import decode_bytes, open_bytes, open_sticker, read_sticker
from glassine.data.codecs import lottie as lottie_codec
from glassine.data.codecs.lottie import MAX_TEXT_BYTES, LeftOutWarning
from glassine.utils.errors import UserError

pytest.importorskip("rlottie_python")


@pytest.mark.parametrize("pack", [as_json, as_tgs, as_dotlottie, lambda one: as_dotlottie(one, "a")])
def test_all_three_containers_are_told_by_content_and_draw_the_same(pack) -> None:
    sticker = decode_bytes(pack(lottie()))
    assert sticker.frames.shape == (10, 64, 64, 4)
    assert sticker.durations == (20,) * 10
    assert sticker.loop == 0
    assert sticker.frames[3, 32, 32].tolist() == [255, 0, 0, 255]
    assert sticker.frames[3, 4, 4].tolist() == [0, 0, 0, 0]
    assert (sticker.frames[..., 3] == 255).sum() == 10 * 32 * 32


def test_colors_are_straight_where_alpha_is_small() -> None:
    faint = lottie([layer(square(color=[1, 0.5, 0.25, 1], opacity=20))])
    pixel = decode_bytes(as_json(faint)).frames[0, 32, 32]
    assert abs(int(pixel[3]) - 51) <= 1
    # eight premultiplied bits at alpha 51 leave steps of 5
    np.testing.assert_allclose(pixel[:3], [255, 128, 64], atol=5)


def test_any_size_is_drawn_not_enlarged() -> None:
    with open_bytes(as_json(lottie()), size=512) as reader:
        frame, duration = next(iter(reader))
    assert frame.shape == (512, 512, 4)
    assert duration == 20
    assert (frame[..., 3] == 255).sum() == 256 * 256  # an edge as sharp as in the small one
    assert set(np.unique(frame[..., 3])) == {0, 255}


def test_frames_are_a_whole_loop_and_each_shows_its_own_time() -> None:
    frames = decode_bytes(as_json(sliding(10))).frames
    middles = [np.flatnonzero(frame[32, :, 3]).mean() for frame in frames]
    np.testing.assert_allclose(middles, 3.5 + 4 * np.arange(10), atol=0.6)


def test_fewer_frames_are_picked_by_time_and_the_loop_keeps_its_length(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(as_json(sliding(10)))
    sticker = read_sticker(path, fps=25)
    assert sticker.durations == (40,) * 5
    np.testing.assert_array_equal(sticker.frames, read_sticker(path).frames[::2])
    uneven = read_sticker(path, fps=30)
    assert len(uneven.durations) == 6
    assert sum(uneven.durations) == 200
    with open_sticker(path) as reader:
        np.testing.assert_array_equal(reader.frames_at([7, 0, 7]), read_sticker(path).frames[[7, 0, 7]])


def test_odd_rates_do_not_drift() -> None:
    sticker = decode_bytes(as_json(lottie(frames=72, fps=29.97)))
    assert sum(sticker.durations) == round(72 / 29.97 * 1000)


def test_what_the_renderer_drops_is_named_and_counted() -> None:
    odd = layer([*square(), {"ty": "mm", "mm": 1}], ef=[{"ty": 21}, {"ty": 21}])
    odd["ks"]["o"]["x"] = "var $bm_rt = 50;"
    picture = {**layer([]), "ty": 2, "refId": "image_0"}
    assets = [{"id": "image_0", "w": 9, "h": 9, "u": "images/", "p": "a.png", "e": 0}]
    with pytest.warns(LeftOutWarning) as caught:
        sticker = decode_bytes(as_json(lottie([odd, picture, {**layer([]), "ty": 5}], assets=assets)))
    message = str(caught[0].message)
    for part in ("1 expressions", "1 merged paths", "2 effects", "1 images", "1 texts"):
        assert part in message
    assert len(caught) == 1
    assert sticker.num_frames == 10


def test_a_whole_drawing_warns_of_nothing() -> None:
    with warnings.catch_warnings(action="error"):
        decode_bytes(as_json(lottie()))
        decode_bytes(as_json(lottie([layer([*square(), dashed(2)])])))


def test_a_missing_renderer_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(lottie_codec.importlib, "import_module", missing)
    with pytest.raises(UserError, match=r"pip install 'glassine\[lottie\]'"):
        decode_bytes(as_json(lottie()))


def nested(depth: int) -> dict:
    shapes = square()
    for _ in range(depth):
        shapes = [{"ty": "gr", "it": shapes}]
    return lottie([layer(shapes)])


def composed(count: int, steps: int) -> dict:
    """Compositions that each use the next one `count` times."""
    uses = lambda number: [{**layer([]), "ty": 0, "refId": f"c{number}"} for _ in range(count)]  # noqa: E731
    assets = [{"id": f"c{n}", "layers": uses(n + 1) if n < steps else [layer(square())]} for n in range(steps + 1)]
    return lottie(uses(0), assets=assets)


def repeated(copies: int) -> dict:
    tr = {"ty": "tr", "p": fixed([1, 0]), "a": fixed([0, 0]), "s": fixed([100, 100]), "r": fixed(0)}
    rp = {"ty": "rp", "c": fixed(copies), "o": fixed(0), "m": 1, "tr": {**tr, "so": fixed(100), "eo": fixed(100)}}
    return lottie([layer([{"ty": "gr", "it": [*square(4), rp]}, rp])])


STAR = {"ty": "sr", "sy": 1, "pt": fixed(1e6), "p": fixed([0, 0]), "r": fixed(0), "or": fixed(9), "os": fixed(0)}

GRADIENT = {"ty": "gf", "o": fixed(100), "g": {"p": 3, "k": fixed([])}, "s": fixed([0, 0]), "e": fixed([9, 0]), "t": 1}


def dashed(length: float) -> dict:
    parts = [{"n": name, "v": fixed(length)} for name in "dg"] + [{"n": "o", "v": fixed(0)}]
    return {"ty": "st", "c": fixed([0, 0, 1, 1]), "o": fixed(100), "w": fixed(2), "lc": 1, "lj": 1, "d": parts}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (as_json(lottie())[:-40], "not whole JSON"),
        (b'{"a": 1}', "no list 'layers'"),
        (b'{"layers": []}', "'w' must be a number, got None"),
        (as_json(lottie(w=10**400)), "'w' must be a number, got inf"),
        (as_json(lottie([layer([{**STAR, "pt": fixed(10**400)}])])), "a star of inf points"),
        (as_json(lottie(w="64")), "'w' must be a number, got 64"),
        (as_json(lottie()).replace(b'"fr": 50', b'"fr": NaN'), "not whole JSON"),
        (as_json(lottie(fps=0)), r"fr in \(0, 1000\]"),
        (as_json(lottie(frames=0)), "op - ip"),
        (as_json(lottie(frames=10**7)), "op - ip"),
        (as_json(lottie(w=10**6, h=10**6)), "scale it down"),
        (as_json(lottie(["no layer"])), "not a list of objects"),
        (as_json(lottie(assets={"id": 1})), "not a list of objects"),
        (as_json(nested(300)), "nested deeper"),
        (b'{"layers": ' + b"[" * 100_000, "nested too deeply|not whole JSON"),
        (as_json(composed(10, 6)), "laid out to"),
        (as_json(composed(1, 400)), "contains itself|nested"),
        (as_json(repeated(200)), "repeating a shape 40,000 times"),
        (as_json(lottie([layer([STAR])])), "a star of 1,000,000 points"),
        (as_json(lottie([layer([{**STAR, "pt": fixed(-5)}])])), "a star of -5 points"),
        (as_json(lottie([layer([GRADIENT])])), "lacks colors"),
        (as_json(lottie([layer([], ind=1, parent=2), layer([], ind=2, parent=1)])), "in a circle"),
        (as_json(lottie([layer([*square(), dashed(-1)])])), "dashes shorter than 0.05"),
        (as_json(lottie([layer([*square(), dashed(1e-3)])])), "dashes shorter than 0.05"),
        (as_tgs(lottie())[:-20], "ends too early"),
        (as_tgs(lottie())[:30] + b"xxxx", "unpacked|too early"),
        (gzip.compress(b'{"layers": [' + b" " * (MAX_TEXT_BYTES + 5), mtime=0), "at most"),
        (gzip.compress(b"hello", mtime=0), "not whole JSON"),
        (as_dotlottie(lottie())[:-30], "damaged"),
    ],
)
def test_bad_files_are_refused_in_one_line(data: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        decode_bytes(data)
    assert "\n" not in str(caught.value)


def test_a_composition_inside_itself_is_refused() -> None:
    loop = [{"id": "a", "layers": [{**layer([]), "ty": 0, "refId": "b"}]}]
    loop.append({"id": "b", "layers": [{**layer([]), "ty": 0, "refId": "a"}]})
    with pytest.raises(UserError, match="contains itself"):
        decode_bytes(as_json(lottie([{**layer([]), "ty": 0, "refId": "a"}], assets=loop)))


def test_a_protected_lottie_is_refused() -> None:
    data = bytearray(as_dotlottie(lottie()))
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flag "encrypted" of both kinds of headers
        start = data.find(signature)
        while start >= 0:
            data[start + place] |= 1
            start = data.find(signature, start + 4)
    with pytest.raises(UserError, match="password"):
        decode_bytes(bytes(data))


def test_a_lottie_that_unpacks_to_too_much_is_refused() -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", "{}")
        archive.writestr("animations/one.json", b" " * (MAX_TEXT_BYTES + 1))
    with pytest.raises(UserError, match="at most"):
        decode_bytes(data.getvalue())


def test_after_drawing_a_forked_process_can_draw_too() -> None:
    data = as_json(lottie(frames=1))
    decode_bytes(data)
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            code = 7 if decode_bytes(data).frames[0, 32, 32, 0] == 255 else 2
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert decode_bytes(data).frames[0, 32, 32, 0] == 255


def endless() -> dict:
    """Dashes along a path of a length that takes for ever."""
    far = {"i": [[0, 0]] * 3, "o": [[3e12, 0], [0, 0], [0, 9]], "v": [[0, 0], [20, 0], [9, 20]], "c": True}
    return lottie([layer([{"ty": "gr", "it": [{"ty": "sh", "ks": fixed(far)}, dashed(3)]}])])


@pytest.mark.full
def test_a_file_that_takes_for_ever_is_refused_and_those_beside_it_go_on() -> None:
    with open_bytes(as_json(sliding(10))) as other:
        frames = iter(other)
        first, _ = next(frames)
        with pytest.raises(UserError, match=r"cannot be decoded .*took too long") as caught:
            decode_bytes(as_json(endless()), size=32)
        assert "\n" not in str(caught.value)
        rest = [frame for frame, _ in frames]
        np.testing.assert_array_equal(np.stack([first, *rest]), decode_bytes(as_json(sliding(10))).frames)


def test_cut_files_never_crash() -> None:
    whole = as_tgs(lottie())
    for length in range(2, len(whole), 7):
        with pytest.raises(UserError):
            decode_bytes(whole[:length])
    text = zlib.decompress(whole, wbits=31)
    for length in range(1, len(text), 29):
        with pytest.raises(UserError):
            decode_bytes(text[:length])


def test_wrong_values_never_crash() -> None:
    """Each number and list of a whole animation exchanged for something else is drawn or refused."""
    text = json.dumps(lottie([layer(square(), ef=[])]))
    for wrong in ("null", "[]", "{}", '"x"', "-1e30", "true"):
        for place, letter in enumerate(text):
            if letter != ":" or text[place + 2] not in "[{0123456789":
                continue
            content = json.loads(text)
            _exchange(content, text[:place].count(":"), json.loads(wrong))
            try:
                with warnings.catch_warnings(action="ignore"):
                    decode_bytes(as_json(content))
            except UserError:
                pass


def _exchange(content, number: int, wrong) -> int:
    """Put `wrong` in place of the value of the object entry with this number, counted in the order of the text."""
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in list(inner):
        if isinstance(content, dict):
            if number == 0:
                content[key] = wrong
                return -1
            number -= 1
        number = _exchange(value, number, wrong)
        if number < 0:
            return -1
    return number


def test_only_our_warnings_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    plain_warnings()
    assert warnings.formatwarning("a: 1 effects", LeftOutWarning, "b.py", 3) == "glassine: a: 1 effects\n"
    assert warnings.formatwarning("old", DeprecationWarning, "b.py", 3, "x = 1").startswith(
        "b.py:3: DeprecationWarning"
    )
