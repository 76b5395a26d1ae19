"""The progress bar of all verbs, based on rich."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Update = Callable[..., None]
"""Advances a bar: `update(done)`, `update(done, total)` or `update(done, total, text)`; `update()` advances by one."""


@contextmanager
def progress_bar(
    console: Console, text: str, total: int | None = None, transient: bool = False, only_terminal: bool = False
) -> Iterator[Update]:
    """A progress bar with a label, `done/total` and the remaining time.

    Args:
        console: where to draw it.
        text: label; no markup.
        total: number of steps; None if not known yet.
        transient: remove the bar when the block ends.
        only_terminal: draw nothing if the console is a file or a pipe.

    Yields:
        The function that advances it, see :data:`Update`.
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
