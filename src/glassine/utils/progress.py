"""The progress bar of all verbs, on rich."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Update = Callable[..., None]
"""Moves a bar: `update(done)`, `update(done, total)` or `update(done, total, text)`; `update()` is one step further."""


@contextmanager
def progress_bar(
    console: Console, text: str, total: int | None = None, transient: bool = False, only_terminal: bool = False
) -> Iterator[Update]:
    """A bar with a text before it, `done/total` and the time that is left.

    Args:
        console: where it is drawn.
        text: what is going on; no markup.
        total: of what is to be done; None where it is not known yet.
        transient: remove the bar when the block ends.
        only_terminal: draw nothing where the console is a file or a pipe.

    Yields:
        What moves it, see :data:`Update`.
    """
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    off = only_terminal and not console.is_terminal
    with Progress(*columns, console=console, transient=transient, disable=off) as bar:
        task = bar.add_task(text, total=total)

        def update(done: int | None = None, total: int | None = None, text: str | None = None) -> None:
            if done is None:
                bar.advance(task)
            else:
                bar.update(task, completed=done, total=total, description=text)

        yield update
