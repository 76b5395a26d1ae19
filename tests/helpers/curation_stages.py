"""Stages that fail as real ones may; importable by worker processes."""

import os
import signal
from pathlib import Path


class Squares:
    """Adds the square of `n`; kills its process when it first meets a row that is `fatal`, always when `deadly`."""

    name, risky = "squares", True

    def __init__(self, marks: str) -> None:
        self.marks = Path(marks)

    def settings(self):
        return {"version": 1}

    def __call__(self, rows):
        for row in rows:
            mark = self.marks / str(row["n"])
            if row.get("deadly") or (row.get("fatal") and not mark.exists()):
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return [{**row, "square": row["n"] ** 2} for row in rows]
