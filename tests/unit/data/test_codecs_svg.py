"""SVG is drawn at any size with straight alpha; bombs and what lies outside of the file are stopped before drawing."""

import base64
import contextlib
import gzip
import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.helpers.drawings import svg

from glassine.data.codecs import decode_bytes, lottie, read_sticker
from glassine.data.codecs import svg as svg_codec
from glassine.data.codecs.lottie import MAX_TEXT_BYTES, LeftOutWarning
from glassine.utils.errors import UserError

pytest.importorskip("resvg_py")

HALF = '<rect x="8" y="8" width="16" height="16" fill="#ff8040" opacity="0.5"/>'


def png(side: int, color: tuple[int, int, int]) -> str:
    out = io.BytesIO()
    Image.new("RGB", (side, side), color).save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def test_drawn_at_the_size_asked_for_with_straight_alpha() -> None:
    sticker = decode_bytes(svg(HALF), size=64)
    assert sticker.frames.shape == (1, 64, 64, 4)
    assert sticker.durations == (1000,)
    assert sticker.frames[0, 32, 32].tolist() == [255, 128, 64, 128]
    assert sticker.frames[0, 2, 2].tolist() == [0, 0, 0, 0]
    assert (sticker.frames[..., 3] == 128).sum() == 32 * 32


@pytest.mark.parametrize(
    ("root", "shape"),
    [
        ('width="32" height="32"', (512, 512)),
        ("", (512, 512)),
        ('width="800" height="400"', (400, 800)),
        ('width="10mm" height="20mm"', (512, 256)),
        ('width="100%" height="100%"', (512, 512)),
    ],
)
def test_without_a_size_its_own_but_at_least_a_sticker(root: str, shape: tuple[int, int]) -> None:
    assert decode_bytes(svg(HALF, root)).frames.shape[1:3] == shape


def test_odd_shapes_keep_their_shape(tmp_path: Path) -> None:
    for width, height in ((32, 33), (33, 32), (7, 100)):
        path = tmp_path / "a.svg"
        path.write_bytes(svg(HALF, f'width="{width}" height="{height}"'))
        frames = read_sticker(path, size=256).frames
        assert frames.shape[1:3] == (round(256 * height / max(width, height)), round(256 * width / max(width, height)))


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + svg(HALF),
        b"\n  " + svg(HALF),
        svg(HALF, head='<?xml version="1.0" encoding="UTF-8"?>\n<!-- made by hand -->\n'),
        svg(
            HALF,
            head='<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">',
        ),
        gzip.compress(svg(HALF), mtime=0),
        ('<?xml version="1.0" encoding="UTF-16"?>' + svg(HALF).decode()).encode("utf-16"),
    ],
)
def test_told_by_content(data: bytes) -> None:
    assert decode_bytes(data, size=32).frames[0, 16, 16].tolist() == [255, 128, 64, 128]


def test_harmless_entities_and_inner_references_work() -> None:
    head = '<!DOCTYPE svg [<!ENTITY tint "#ff8040">]>'
    body = f"<defs>{HALF.replace('<rect', '<rect id=' + chr(34) + 'a' + chr(34)).replace('#ff8040', '&tint;')}</defs>"
    frame = decode_bytes(svg(body + '<use xlink:href="#a"/>', head=head), size=32).frames[0]
    assert frame[16, 16].tolist() == [255, 128, 64, 128]


def test_pictures_inside_are_drawn_and_those_outside_are_left_out(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), (0, 255, 0)).save(tmp_path / "secret.png")
    inside = f'<image x="0" y="0" width="16" height="32" href="{png(4, (0, 0, 255))}"/>'
    outside = f'<image x="16" y="0" width="16" height="32" href="{tmp_path / "secret.png"}"/>'
    part = '<use href="other.svg#a"/>'
    with pytest.warns(LeftOutWarning, match="1 pictures outside of the file or of no plain kind, 1 parts outside"):
        frame = decode_bytes(svg(inside + outside + part), size=32).frames[0]
    assert frame[16, 8].tolist() == [0, 0, 255, 255]
    assert frame[16, 24].tolist() == [0, 0, 0, 0]


def test_a_picture_too_large_to_unpack_and_a_drawing_in_a_picture_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svg_codec, "MAX_PIXELS", 100)
    hidden = "data:image/svg+xml;base64," + base64.b64encode(svg(HALF)).decode()
    body = (
        f'<image width="32" height="32" href="{png(11, (0, 0, 255))}"/><image width="32" height="32" href="{hidden}"/>'
    )
    with pytest.warns(LeftOutWarning, match="2 pictures"):
        assert not decode_bytes(svg(body), size=32).frames.any()


def test_animation_is_said_to_be_missing() -> None:
    moving = '<circle r="9" fill="red"><animate attributeName="r" to="1" dur="1s"/></circle>'
    with pytest.warns(LeftOutWarning, match="1 animations"):
        decode_bytes(svg(moving), size=16)


def test_a_plain_drawing_warns_of_nothing() -> None:
    with warnings.catch_warnings(action="error"):
        decode_bytes(svg(), size=16)


def laughs(steps: int) -> bytes:
    entities = '<!ENTITY e0 "ha">' + "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(steps))
    return svg(f"<text>&e{steps};</text>", head=f"<!DOCTYPE svg [{entities}]>")


def uses(steps: int) -> bytes:
    parts = '<g id="u0"><circle r="1"/></g>'
    parts += "".join(f'<g id="u{n + 1}">{f"""<use href="#u{n}"/>""" * 10}</g>' for n in range(steps))
    return svg(f'<defs>{parts}</defs><use href="#u{steps}"/>')


def patterns(steps: int) -> bytes:
    parts = '<pattern id="p0" width="1" height="1"><rect width="1" height="1"/></pattern>'
    for n in range(steps):
        rects = f'<rect width="1" height="1" fill="url(#p{n})"/>' * 10
        parts += f'<pattern id="p{n + 1}" width="1" height="1">{rects}</pattern>'
    return svg(f'<defs>{parts}</defs><rect width="9" height="9" fill="url(#p{steps})"/>')


def styled(steps: int) -> bytes:
    """The same bomb, wired by a style sheet."""
    rules = "".join(f".c{n}, g > rect.d{n}[x] {{ fill: url(#p{n}) }} " for n in range(steps))
    parts = '<pattern id="p0" width="1" height="1"><rect width="1" height="1"/></pattern>'
    for n in range(steps):
        rects = f'<rect width="1" height="1" class="c{n}"/>' * 10
        parts += f'<pattern id="p{n + 1}" width="1" height="1">{rects}</pattern>'
    return svg(f'<style>/* a */ {rules}</style>{parts}<rect width="9" height="9" fill="url(#p{steps})"/>')


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (laughs(9), "entities that stand for other entities"),
        (svg("<text>" + "&a;" * 5000 + "</text>", head=f'<!DOCTYPE svg [<!ENTITY a "{"x" * 5000}">]>'), "blown up"),
        (svg(head='<!DOCTYPE svg [<!ENTITY % p "x">]>'), "entities"),
        (svg(head='<!DOCTYPE svg [<!ENTITY f SYSTEM "file:///etc/hostname">]>', body="<text>&f;</text>"), "whole XML"),
        (uses(7), "elements when all that is used twice"),
        (patterns(7), "elements when all that is used twice"),
        (styled(7), "elements when all that is used twice"),
        (svg("<g>" * 500 + "</g>" * 500), "nested deeper"),
        (svg("<g/>" * 100_001), "more than 100,000 elements"),
        (svg(root='width="0" height="5"'), "above 0"),
        (svg(root='width="-3" height="5"'), "above 0"),
        (svg(root='width="1e9" height="1e9"'), "scale it down"),
        (svg()[:-10], "not whole XML"),
        (b"<html><body/></html>", "not SVG"),
        (b"<", "not whole XML"),
        (svg() + b" " * MAX_TEXT_BYTES, "at most"),
        (gzip.compress(svg() + b" " * MAX_TEXT_BYTES, mtime=0), "at most"),
        (gzip.compress(svg(), mtime=0)[:-9], "ends too early"),
    ],
)
def test_bombs_and_broken_files_are_refused_in_one_line(data: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        decode_bytes(data)
    assert "\n" not in str(caught.value)


def test_parts_that_contain_themselves_end() -> None:
    body = '<g id="a"><use href="#b"/></g><g id="b"><use href="#a"/><rect width="32" height="32"/></g>'
    with contextlib.suppress(UserError):  # drawn or refused, but it ends
        decode_bytes(svg(body), size=16)


def test_what_the_renderer_dies_of_is_refused_and_the_next_file_drawn() -> None:
    with contextlib.suppress(UserError):  # resvg panics here, which is no Exception, or ends the process
        decode_bytes(svg('<circle cx="16" cy="16" r="1e30" fill="red"/>'), size=64)
    assert decode_bytes(svg(), size=32).frames[0, 16, 16].tolist() == [255, 0, 0, 255]


def test_endless_octaves_of_noise_end() -> None:
    noise = '<filter id="f"><feTurbulence numOctaves="{}" baseFrequency="0.1"/></filter>'
    body = noise + '<rect width="32" height="32" filter="url(#f)"/>'
    twenty, many = (decode_bytes(svg(body.format(count)), size=16).frames for count in (20, 10**9))
    np.testing.assert_array_equal(many, twenty)


def test_a_missing_renderer_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(lottie.importlib, "import_module", missing)
    with pytest.raises(UserError, match=r"pip install 'glassine\[svg\]'"):
        decode_bytes(svg())


def test_enormous_sizes_asked_for_are_refused() -> None:
    with pytest.raises(UserError, match="scale it down"):
        decode_bytes(svg(), size=100_000)
    assert np.asarray(decode_bytes(svg(), size=1).frames).shape == (1, 1, 1, 4)
