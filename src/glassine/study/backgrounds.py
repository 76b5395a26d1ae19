"""What the stickers are shown on."""

from __future__ import annotations

from collections.abc import Iterable

from PIL import ImageColor

from glassine.errors import UserError

CHECKER = "checker"


def parse_backgrounds(names: Iterable[str]) -> tuple[str, ...]:
    """`checker` and colours as `#rrggbb`, in the order given, each once.

    Args:
        names: `checker`, CSS colour names, or colours as `#rrggbb` or `rrggbb`.

    Raises:
        UserError: no background, or one that is neither.
    """
    parsed = tuple(dict.fromkeys(_parse(name) for name in names))
    if not parsed:
        raise UserError("no background came; give checker, white, black or '#rrggbb'")
    return parsed


def _parse(name: str) -> str:
    if name.lower() == CHECKER:
        return CHECKER
    for spelling in (name, f"#{name}"):
        try:
            red, green, blue = ImageColor.getrgb(spelling)[:3]
        except ValueError:
            continue
        return f"#{red:02x}{green:02x}{blue:02x}"
    raise UserError(f"background {name} came; give checker, white, black, any CSS colour name, or '#rrggbb'")
