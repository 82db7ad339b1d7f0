"""Progress of what takes several blocks, on stderr and only where somebody watches."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from ..wallet.session import Progress


class _Stages:
    """Turns (stage, done, total) into one bar per stage."""

    def __init__(self, bars: Bars) -> None:
        self._bars: Final = bars
        self._stage = ""
        self._task: TaskID | None = None

    def __call__(self, stage: str, done: int, total: int) -> None:
        if self._task is None or stage != self._stage:
            self._finish()
            self._stage, self._task = stage, self._bars.add_task(stage, total=total or None)
        self._bars.update(self._task, completed=done, total=total or None)

    def _finish(self) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)


@contextmanager
def shown_progress() -> Generator[Progress]:
    """Give a progress callback that draws on a terminal and leaves nothing behind."""
    columns = (
        TextColumn("{task.description}", markup=False),  # names are other people's
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    with Bars(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bars:
        yield _Stages(bars)
