"""How the demo looks: one line a step with a progress bar while it runs, tables at the end; silent for machines."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

WIDTH = 120
"""Columns where the output goes to a file."""


class Stage:
    """A running step. ``progress(done, total, text)`` moves its bar; ``note`` is what stays behind it."""

    def __init__(self, bars: Progress, task: TaskID) -> None:
        self._bars, self._task = bars, task
        self.note = ""

    def progress(self, done: int, total: int, text: str = "") -> None:
        """Move the bar."""
        self._bars.update(self._task, completed=done, total=total or None, detail=escape(text))

    def say(self, text: str) -> None:
        """Show a word behind the bar."""
        self._bars.update(self._task, detail=escape(text))


class View:
    """The demo's output. ``seconds`` keeps how long each step took."""

    def __init__(self, quiet: bool) -> None:
        self.console = Console(quiet=quiet, highlight=False)
        if not self.console.is_terminal:
            self.console.width = WIDTH
        self.seconds: dict[str, float] = {}
        self._number = 0

    def say(self, text: str = "") -> None:
        """One line; markup allowed."""
        self.console.print(text)

    @contextmanager
    def stage(self, name: str, title: str) -> Iterator[Stage]:
        """One step: a bar while it runs, a line with its note and time when it is done."""
        self._number += 1
        began = time.monotonic()
        bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=self.console.quiet or not self.console.is_terminal,
        )
        with bars:
            stage = Stage(bars, bars.add_task(f"{self._number:>2}. {escape(title)}", total=None, detail=""))
            yield stage
        self.seconds[name] = round(time.monotonic() - began, 2)
        note = f"[dim]{escape(stage.note)}[/dim]" if stage.note else ""
        self.console.print(
            f"[green]✓[/green] {self._number:>2}. {escape(title):<46} {self.seconds[name]:>6.1f} s  {note}",
            soft_wrap=True,
        )

    def table(
        self, title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()
    ) -> None:
        """A table; columns in ``right`` are aligned to the right."""
        table = Table(title=title, title_justify="left", title_style="bold", show_lines=True)
        for number, heading in enumerate(headings):
            table.add_column(heading, justify="right" if number in right else "left", overflow="fold")
        for row in rows:
            table.add_row(*[escape(cell) for cell in row])
        self.console.print(table)


def shorten(text: str, length: int = 90) -> str:
    """The beginning of a text, cut at a word."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: text.rfind(" ", 0, length)] + " …"
