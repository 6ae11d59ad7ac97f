"""What a benchmark leaves: numbers and machine as JSON, tables as Markdown, a picture; each whole or not at all."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyconv.plots import save
from tinyconv.saving.atomic import replacing_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Table:
    """Rows of text; all columns but the first are numbers, flush right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""

    def markdown(self) -> str:
        lines = [self.columns, ["---", *["---:"] * (len(self.columns) - 1)], *self.rows]
        heading = f"**{self.title}**\n\n" if self.title else ""
        return heading + "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


@dataclass(frozen=True)
class Report:
    """The outcome of one benchmark.

    Attributes:
        name: of the files.
        title, summary: what was measured, and how, in a few sentences.
        machine: from `machine.describe`.
        settings: what the numbers depend on besides the machine, as JSON types.
        results: all numbers, as JSON types.
        tables, notes: what a reader wants first; notes also say who could not run, and why.
    """

    name: str
    title: str
    summary: str
    machine: Mapping[str, Any]
    settings: Mapping[str, Any]
    results: Any
    tables: Sequence[Table]
    figure: "Figure"
    notes: Sequence[str] = field(default_factory=tuple)

    def write(self, folder: Path) -> list[Path]:
        """Write NAME.json, NAME.md and NAME.png into `folder`; returns their paths."""
        paths = [folder / f"{self.name}.{suffix}" for suffix in ("json", "md", "png")]
        _write(paths[0], json.dumps(self.as_json(), indent=1, ensure_ascii=False) + "\n")
        _write(paths[1], self.markdown())
        save(self.figure, paths[2])
        return paths

    def as_json(self) -> dict[str, Any]:
        return {
            "benchmark": self.name, "title": self.title, "summary": self.summary, "machine": dict(self.machine),
            "settings": dict(self.settings), "notes": list(self.notes), "results": self.results,
        }

    def markdown(self) -> str:
        """The tables, with what was measured before them and where after them."""
        parts = [
            f"# {self.title}",
            self.summary,
            *(table.markdown() for table in self.tables),
            "\n".join(f"- {note}" for note in self.notes),
            f"![{self.title}]({self.name}.png)",
            machine_line(self.machine),
            f"Measured by `{self.machine['command']}`; all rounds are in `{self.name}.json`.",
        ]
        return "\n\n".join(part for part in parts if part) + "\n"


def machine_line(machine: Mapping[str, Any]) -> str:
    """The machine in one line."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    revision = f" ({machine['revision'][:10]}{'+' * machine['revision'].endswith('+')})" if machine["revision"] else ""
    load = "" if machine["load"] is None else f", load before {machine['load']}"
    return (
        f"{machine['cpu']}, {machine['threads_usable']} usable threads on {machine['cores'] or '?'} cores, "
        f"{machine['vector_bits']}-bit vectors, {machine['memory_gib']} GiB; {machine['os']}; "
        f"Python {machine['python']}; {versions}{revision}; {machine['date'][:10]}{load}."
    )


def _write(path: Path, text: str) -> None:
    with replacing_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
