"""Convert colors that a file describes by a profile, by chromaticities and gamma, or by code points, to sRGB.

Alpha is never touched, and colors that are already sRGB (within `SAME` of 255) are preserved bit for bit.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageCms

Convert = Callable[[np.ndarray], np.ndarray]
"""`n 3` uint8 to `n 3` uint8."""

SAME = 2
"""Largest difference, of 255, up to which a profile is treated as equal to sRGB."""

MOST_PROFILE_BYTES = 2**22
_STRIP_PIXELS = 2**18
_SDR_WHITE_NITS = 203.0  # ITU-R BT.2408: the level of paper white in HDR images

# x, y of red, green, blue and white: ITU-T H.273, table 2
_D65 = (0.3127, 0.3290)
_SRGB_PRIMARIES = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, *_D65)
_PRIMARIES: dict[int, tuple[float, ...]] = {
    1: _SRGB_PRIMARIES,
    4: (0.67, 0.33, 0.21, 0.71, 0.14, 0.08, 0.310, 0.316),
    5: (0.64, 0.33, 0.29, 0.60, 0.15, 0.06, *_D65),
    6: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),
    7: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *_D65),
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *_D65),
    22: (0.630, 0.340, 0.295, 0.605, 0.155, 0.077, *_D65),
}


def to_srgb(frame: np.ndarray, convert: Convert | None) -> np.ndarray:
    """A frame `h w 4` uint8 with its colors converted in place, a strip at a time; alpha is unchanged."""
    if convert is None:
        return frame
    rows = max(1, _STRIP_PIXELS // frame.shape[1])
    for top in range(0, len(frame), rows):
        strip = frame[top : top + rows]
        strip[..., :3] = convert(strip[..., :3].reshape(-1, 3)).reshape(*strip.shape[:2], 3)
    return frame


@functools.lru_cache(maxsize=16)
def by_profile(profile: bytes) -> Convert | None:
    """The conversion for an RGB or gray ICC profile.

    Returns:
        None if there is nothing to do: the profile is sRGB, broken, or neither RGB nor gray. Browsers ignore
        broken ones, too.
    """
    if not profile or len(profile) > MOST_PROFILE_BYTES:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        mode = {"RGB": "RGB", "GRAY": "L"}.get(space)
        if mode is None:
            return None
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError):
        return None

    def convert(colors: np.ndarray) -> np.ndarray:
        pixels = colors if mode == "RGB" else colors[:, 0]
        image = Image.fromarray(np.ascontiguousarray(pixels[None]), mode)
        changed = ImageCms.applyTransform(image, transform)
        return np.asarray(changed).reshape(-1, 3)

    return _unless_same(convert, gray=mode == "L")


def cmyk_to_srgb(image: Image.Image) -> Image.Image:
    """Convert a CMYK image to RGB with its own profile, or with the plain formula if it has no usable one."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(image.info.get("icc_profile") or b""))
        if source.profile.xcolor_space.strip() == "CMYK":
            changed: Any = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            return changed
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError):
        pass  # a broken profile: use the plain conversion, as browsers do
    return image.convert("RGB")


@functools.lru_cache(maxsize=16)
def by_gamma(gamma: int | None, chromaticities: tuple[int, ...] | None) -> Convert | None:
    """The conversion for PNG's `gAMA` and `cHRM` chunks; None if they describe sRGB or are insufficient.

    Args:
        gamma: 100,000 times the encoding exponent. sRGB is written as 45,455.
        chromaticities: 100,000 times x and y of white, red, green and blue, as in `cHRM`.
    """
    if not gamma:
        return None  # primaries alone: browsers do not convert either
    primaries: Sequence[float] = _SRGB_PRIMARIES
    if chromaticities is not None:
        parts = [value / 100_000 for value in chromaticities]
        primaries = (*parts[2:], *parts[:2])
    near_srgb = np.abs(np.subtract(primaries, _SRGB_PRIMARIES)).max() < 0.005
    if abs(gamma - 45_455) <= 2_300 and near_srgb:
        return None
    # 0 stays 0, even for exponents below 1
    return _by_light(primaries, (np.arange(256) / 255) ** (100_000 / gamma))


@functools.lru_cache(maxsize=16)
def by_code_points(primaries: int, transfer: int) -> Convert | None:
    """The conversion for the code points of ITU-T H.273 in PNG's `cICP`, in AVIF and in HEIC; None for sRGB or unknown.

    HDR (PQ and HLG) is converted to sRGB by mapping 203 cd/m2 to white and clipping brighter colors.
    """
    light = _light(transfer)
    if primaries not in _PRIMARIES or light is None or (primaries == 1 and transfer == 13):
        return None
    return _by_light(_PRIMARIES[primaries], light)


def _light(transfer: int) -> np.ndarray | None:
    """Linear light, with 1 for white, for each of 256 code values; H.273, table 3."""
    code = np.arange(256) / 255
    if transfer in (1, 6, 14, 15):  # BT.709, BT.601 and BT.2020, as shown by displays: BT.1886
        return code**2.4
    if transfer in (4, 5):
        return code ** (2.2 if transfer == 4 else 2.8)
    if transfer == 8:
        return code
    if transfer == 13:
        return _srgb_light(code)
    if transfer == 16:  # PQ, SMPTE ST 2084
        power = code ** (32 / 2523)
        nits = 10_000 * (np.maximum(power - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * power)) ** (8192 / 1305)
        return nits / _SDR_WHITE_NITS
    if transfer == 18:  # HLG, ARIB STD-B67, on a display of 1,000 cd/m2
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
        return 1000 * scene**1.2 / _SDR_WHITE_NITS
    return None


def _srgb_light(code: np.ndarray) -> np.ndarray:
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)


def _by_light(primaries: Sequence[float], light: np.ndarray) -> Convert | None:
    """Conversion with a lookup table of linear light and a 3x3 matrix."""
    try:
        matrix = np.linalg.solve(_to_xyz(_SRGB_PRIMARIES), _to_xyz(primaries)).astype(np.float32)
    except np.linalg.LinAlgError:
        return None
    if not np.isfinite(matrix).all() or not np.isfinite(light).all():
        return None
    table = light.astype(np.float32)
    # the sRGB curve, sampled finely enough that its steep start is accurate to a quarter level
    steps = np.linspace(0, 1, 2**14 + 1)
    encoded = np.where(steps <= 0.0031308, 12.92 * steps, 1.055 * steps ** (1 / 2.4) - 0.055)
    encode = (255 * encoded).round().astype(np.uint8)

    def convert(colors: np.ndarray) -> np.ndarray:
        linear = np.clip(table[colors] @ matrix.T, 0, 1)  # n 3
        return encode[(linear * 2**14 + 0.5).astype(np.int32)]

    return _unless_same(convert)


def _to_xyz(primaries: Sequence[float]) -> np.ndarray:
    """3x3 from linear RGB to XYZ with a white of luminance 1, adapted to D65 with the Bradford matrix."""
    xr, yr, xg, yg, xb, yb, xw, yw = primaries
    columns = np.array([[x / y, 1, (1 - x - y) / y] if y else [0, 0, 0] for x, y in ((xr, yr), (xg, yg), (xb, yb))]).T
    white = np.array([xw / yw, 1, (1 - xw - yw) / yw]) if yw else np.ones(3)
    matrix = columns * np.linalg.solve(columns, white)
    cone = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    d65 = np.array([_D65[0] / _D65[1], 1, (1 - sum(_D65)) / _D65[1]])
    adapt = np.linalg.solve(cone, np.diag((cone @ d65) / (cone @ white)) @ cone)
    return adapt @ matrix


def _unless_same(convert: Convert, gray: bool = False) -> Convert | None:
    """None if `convert` changes a grid of colors (for gray, all grays) by at most `SAME`."""
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    levels = np.linspace(0, 255, 9).round().astype(np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
    tried = ramp if gray else np.concatenate([ramp, grid])
    same = np.abs(convert(tried).astype(int) - tried).max() <= SAME
    return None if same else convert
