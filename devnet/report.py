"""What the demo found out, as lines for people and as checks that must all hold."""

from dataclasses import dataclass, field
from typing import Any

from rich.console import Console


@dataclass(slots=True)
class Report:
    """Facts in the order in which they are shown, and claims that are true or false."""

    facts: dict[str, Any] = field(default_factory=dict[str, Any])
    checks: dict[str, bool] = field(default_factory=dict[str, bool])

    @property
    def holds(self) -> bool:
        """Whether every claim is true."""
        return all(self.checks.values())

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {"holds": self.holds, "facts": self.facts, "checks": self.checks}

    def show(self, console: Console) -> None:
        """Print the facts, one a line, then every claim with its verdict."""
        console.print("\n[bold]The main job[/bold]")
        width = max(map(len, self.facts), default=0)
        for name, value in self.facts.items():
            console.print(f"[cyan]{name:{width}}[/cyan]  {value}", soft_wrap=True)
        console.print()
        for name, holds in self.checks.items():
            console.print("[green]✓[/green]" if holds else "[red]✗[/red]", name)
