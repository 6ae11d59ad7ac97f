"""How the commands write: one console, plain tables, and bars for probabilities."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

BAR_WIDTH = 30
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def console() -> "Console":
    """Standard output; colours and live displays only on a terminal."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> "Table":
    """A table without frames; the columns named in `right` are numbers, flush right."""
    from rich.table import Table

    result = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in columns:
        result.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        result.add_row(*(str(cell) for cell in row))
    return result


def bar(share: float, width: int = BAR_WIDTH) -> str:
    """A bar of `width` characters, `share` of it filled, to an eighth of a character.

    >>> bar(0.5, 4), bar(0.3125, 4)
    ('██  ', '█▎  ')
    """
    eighths = round(share * width * 8)
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()).ljust(width)
