"""The table that `model.summary()` prints."""

from collections.abc import Iterator, Sequence

from tinyconv.layers.base import Layer, with_batch
from tinyconv.utils import readable

WIDTHS = (34, 26, 12)  # of the columns, at least


def summary_lines(name: str, layers: Sequence[Layer]) -> Iterator[str]:
    """Yield the lines of the table: each layer's name, kind, output shape and parameters, then the totals."""
    rows = [("Layer (type)", "Output Shape", "Param #")]
    for layer in layers:
        shape = str(with_batch(layer.output_shape))
        rows.append((f"{layer.name} ({type(layer).__name__})", shape, f"{layer.count_params():,}"))
    widths = [max(least, *(len(row[i]) + 2 for row in rows)) for i, least in enumerate(WIDTHS)]
    lines = [" " + "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    yield f'Model: "{name}"'
    yield "_" * (sum(widths) + 1)
    yield lines[0]
    yield "=" * (sum(widths) + 1)
    yield from lines[1:]
    yield "=" * (sum(widths) + 1)
    parameters = [parameter for layer in layers for parameter in layer.parameters]
    for label, kinds in (("Total", (True, False)), ("Trainable", (True,)), ("Non-trainable", (False,))):
        arrays = [parameter.value for parameter in parameters if parameter.trainable in kinds]
        yield f"{label} params: {sum(a.size for a in arrays):,} ({readable(sum(a.nbytes for a in arrays))})"
    yield "_" * (sum(widths) + 1)
