"""Progress and tables in the terminal."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table as RichTable

from glassine.bench.records import Record
from glassine.bench.scoring import Progress as ScoringProgress
from glassine.bench.tables import Table, overview, transposed
from glassine.utils import progress


@contextmanager
def progress_bar() -> Iterator[ScoringProgress]:
    """What `score` may call; the bar is gone when the block ends."""
    with progress.progress_bar(Console(stderr=True), "scoring", transient=True) as update:
        yield lambda text, done, total: update(done, total, text)


def print_scores(records: Sequence[Record], title: str = "") -> None:
    """The overview of `records`, and what its numbers are."""
    first = records[0]
    caption = (
        f"mean alpha PSNR in dB (share of stickers under 20 dB) over {len(first.stickers)} held-out stickers, "
        f"split {first.split}, {first.size} px; the background is estimated, prompts come from the true alpha"
    )
    print_table(transposed(overview(records)), title, caption)
    for record in records:
        if record.missing:
            console = Console(markup=False, emoji=False, highlight=False)
            console.print(f"{record.title}: {record.missing}", soft_wrap=True)


def print_table(table: Table, title: str = "", caption: str = "") -> None:
    """A table as `tables.py` makes them."""
    # a log has no width of its own; Rich's 80 columns would break the numbers
    console = Console(markup=False, emoji=False, width=None if Console().is_terminal else 120)
    head, rows = table
    drawn = RichTable(title=title or None, caption=caption or None, title_justify="left", caption_justify="left")
    for number, name in enumerate(head):
        drawn.add_column(name, justify="right" if number else "left", no_wrap=not number)
    for row in rows:
        drawn.add_row(*row)
    console.print(drawn)
