"""A small HEIC, put together box by box out of two pictures of 64 x 32 that were drawn and packed for it.

ISO/IEC 23008-12 (items, their properties, alpha as an auxiliary picture) and 14496-15 (HEVC's settings).
"""

import struct

import numpy as np

SIZE = (64, 32)
COLORS = ((200, 30, 30), (30, 160, 60), (40, 60, 200), (240, 240, 240))
"""Of the quarters: upper left, upper right, lower left, lower right."""
ALPHA = ((0, 16, 0), (16, 32, 128), (32, 64, 255))
"""First column, the one behind the last, alpha."""

_SETTINGS = (  # VPS, SPS, PPS of both: 4:2:0, 8 bits, full range, BT.601
    "40010c01ffff0408000003009fa800000300001eba0240",
    "4201010408000003009fa800000300001ea02082165baabc2e6e021a0c08000003000800000300c840",
    "4401c1718112",
)
_PICTURE = (
    "2801ac19e0ec8fd7f3425936e655550d1fe7afd934bed8dccb64ef3705797c5f83e2ffb33dd8b94b83f49c314b0ff904697a0e815e3b517617"
    "b7fd7886f9924ba277301ea57970324bea4f60acc674866272b420308f85f35788d589e729f1560f301eff39215bd1869c1bb7c05f8783cf40"
    "7e58a176c52d2fd3cc6d28e7a41e7fc0963bdbb8788db584795c315a7ffd7807e0"
)
_ALPHA = (
    "2801ac19e0ec8fd7faddb2466dba701bed4d5adc426ffbda7c32fdff7400ec69d4e077b2eafd5be355f570f1ff49fee22d45737609f26b9f78"
    "d0d700aef56252026ee906b2888c4815945e79d95560cc4ce7f413be475f3daf892eff51cb9f733e98767321021b112da1a8517f5aff1b259e"
    "9192f0ae032226efc8cf8ab4ebf0a06cac35cf44934cea9e99f422da790d1fb3b830a662b5fec77d66c8467e94a686e455eb65f46b9492a4f2"
    "dbd15c0e3473141b4e"
)


def heic(alpha: bool = True, quarter_turns: int = 0) -> bytes:
    """The file; with `alpha` or opaque, to be shown turned to the left by so many quarters."""
    items = [bytes.fromhex(_PICTURE)] + [bytes.fromhex(_ALPHA)] * alpha
    coded = [struct.pack(">I", len(item)) + item for item in items]
    properties = [
        _hvcc(),
        _full(b"ispe", struct.pack(">II", *SIZE)),
        _box(b"irot", bytes([quarter_turns])),
        _full(b"auxC", b"urn:mpeg:hevc:2015:auxid:1\0"),
    ]
    of_items = [(1, (0x81, 2, 0x83))] + [(2, (0x81, 2, 0x83, 0x84))] * alpha
    ipma = struct.pack(">I", len(of_items))
    for number, places in of_items:
        ipma += struct.pack(">HB", number, len(places)) + bytes(places)
    infos = b"".join(_full(b"infe", struct.pack(">HH4s", number, 0, b"hvc1") + b"\0", 2) for number, _ in of_items)

    def meta(offset: int) -> bytes:
        places = b""
        for number, item in enumerate(coded, 1):
            places += struct.pack(">HHHII", number, 0, 1, offset, len(item))
            offset += len(item)
        parts = [
            _full(b"hdlr", struct.pack(">I4s12x", 0, b"pict") + b"\0"),
            _full(b"pitm", struct.pack(">H", 1)),
            _full(b"iinf", struct.pack(">H", len(coded)) + infos),
            _box(b"iprp", _box(b"ipco", b"".join(properties)) + _full(b"ipma", ipma)),
            _full(b"iloc", struct.pack(">BBH", 0x44, 0, len(coded)) + places),
        ]
        if alpha:  # the second item is of the first
            parts.append(_full(b"iref", _box(b"auxl", struct.pack(">HHH", 2, 1, 1))))
        return _full(b"meta", b"".join(parts))

    head = _box(b"ftyp", b"heic" + bytes(4) + b"mif1heic")
    return head + meta(len(head) + len(meta(0)) + 8) + _box(b"mdat", b"".join(coded))


def heic_frame() -> np.ndarray:
    """What it shows before it is turned: `32 64 4` uint8."""
    width, height = SIZE
    frame = np.zeros((height, width, 4), np.uint8)
    for number, color in enumerate(COLORS):
        top, left = number // 2 * height // 2, number % 2 * width // 2
        frame[top : top + height // 2, left : left + width // 2, :3] = color
    for begin, end, value in ALPHA:
        frame[:, begin:end, 3] = value
    return frame


def _hvcc() -> bytes:
    """HEVCDecoderConfigurationRecord of one still picture of 4:2:0 and 8 bits."""
    vps, sps, pps = map(bytes.fromhex, _SETTINGS)
    record = bytes([1]) + sps[3:15].replace(b"\0\0\3", b"\0\0")[:12].ljust(12, b"\0")
    record += struct.pack(">HBBBBHB", 0xF000, 0xFC, 0xFC | 1, 0xF8, 0xF8, 0, 0x0F) + bytes([3])
    for kind, unit in ((32, vps), (33, sps), (34, pps)):
        record += struct.pack(">BHH", 0x80 | kind, 1, len(unit)) + unit
    return _box(b"hvcC", record)


def _box(tag: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), tag) + content


def _full(tag: bytes, content: bytes, version: int = 0) -> bytes:
    return _box(tag, bytes([version, 0, 0, 0]) + content)
