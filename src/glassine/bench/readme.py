"""Generated tables in a README."""

import re
from collections.abc import Mapping
from pathlib import Path

from glassine.utils.files import atomic_path


def write_blocks(readme: Path | None, blocks: Mapping[str, str]) -> bool:
    """Put each block where the README has a place for it; whether there is such a file.

    Args:
        readme: file with `<!-- table:NAME -->` and `<!-- /table -->`; None, or one that does not exist, for none.
        blocks: Markdown by name.
    """
    if readme is None or not readme.is_file():
        return False
    text = readme.read_text(encoding="utf-8")
    for name, block in blocks.items():
        text = replace_block(text, name, block)
    with atomic_path(readme) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return True


def replace_block(text: str, name: str, block: str) -> str:
    """`text` with what stands between the markers of `name` replaced; as it is without them."""
    pattern = re.compile(rf"(<!-- table:{re.escape(name)} -->\n).*?(<!-- /table -->)", re.DOTALL)
    return pattern.sub(lambda match: f"{match[1]}{block}\n{match[2]}", text)
