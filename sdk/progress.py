"""Progress of what takes several blocks: a callback, or bars on a terminal."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, TypeAlias

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from ..wallet.session import Progress, silent

Watcher: TypeAlias = Progress | bool | None
"""Called with (stage, done, total), total 0 where it is not known; True draws bars on stderr if it
is a terminal."""


@contextmanager
def watched(watcher: Watcher) -> Generator[Progress]:
    """Give the function to tell progress to."""
    if callable(watcher):
        yield watcher
    elif watcher and sys.stderr.isatty():
        with _bars() as stages:
            yield stages
    else:
        yield silent


@contextmanager
def _bars() -> Generator[Progress]:
    columns = (
        TextColumn("{task.description}", markup=False),  # names are other people's
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        yield _Stages(bars)


class _Stages:
    """Turns (stage, done, total) into one bar, that of the present stage."""

    def __init__(self, bars: Bars) -> None:
        self._bars: Final = bars
        self._stage = ""
        self._task: TaskID | None = None

    def __call__(self, stage: str, done: int, total: int) -> None:
        if self._task is None or stage != self._stage:
            if self._task is not None:
                self._bars.remove_task(self._task)
            self._stage, self._task = stage, self._bars.add_task(stage, total=total or None)
        self._bars.update(self._task, completed=done, total=total or None)
