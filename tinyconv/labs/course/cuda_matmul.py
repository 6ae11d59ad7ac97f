"""Lab 12, a CUDA kernel, run on the processor."""

import numpy as np

from tinyconv.labs.lab import SINGLE, Array, Case, Lab, mistake


def make_cases(seed: int) -> list[Case]:
    """Products of all sizes around the tile's 8; what is right is NumPy's."""
    rng = np.random.default_rng(seed)

    def case(name: str, a: Array | tuple[int, int], b: Array | tuple[int, int]) -> Case:
        left = rng.integers(-9, 10, a) if isinstance(a, tuple) else a
        right = rng.integers(-9, 10, b) if isinstance(b, tuple) else b
        arguments = {"a": left.astype(np.float32), "b": right.astype(np.float32)}
        return Case(name, "matmul", arguments, ((left @ right).astype(np.float32),), SINGLE)

    return [
        case("one tile, a is the identity", np.eye(8), (8, 8)),
        case("one tile, 8×8 times 8×8", (8, 8), (8, 8)),
        case("two tiles along k, 8×16 times 16×8", (8, 16), (16, 8)),
        case("blocks side by side, 8×8 times 8×24", (8, 8), (8, 24)),
        case("blocks below each other, 16×8 times 8×8", (16, 8), (8, 8)),
        case("many tiles, 24×32 times 32×16", (24, 32), (32, 16)),
        case("smaller than a tile, 3×8 times 8×5", (3, 8), (8, 5)),
        case("a part of a tile along k, 8×11 times 11×8", (8, 11), (11, 8)),
        case("nothing fits, 13×21 times 21×10", (13, 21), (21, 10)),
        case("one row times one column, 1×9 times 9×1", (1, 9), (9, 1)),
        case("one element, 1×1 times 1×1", (1, 1), (1, 1)),
    ]


WRITE = "c[row * columns + column] = sum;"

LAB = Lab(
    12,
    "cuda_matmul",
    "a CUDA kernel: the matrix product in tiles",
    {"matmul": ("c",)},
    make_cases,
    (
        mistake(
            "Your c is transposed: threadIdx.x and blockIdx.x count columns, threadIdx.y and blockIdx.y rows.",
            (WRITE, "c[column * rows + row] = sum;"),
        ),
        mistake(
            "Your tile of b is transposed: element (k + y, column) belongs to b_tile[y][x].",
            ("b_tile[y][x] =", "b_tile[x][y] ="),
        ),
        mistake(
            "Your tile of a is transposed: element (row, k + x) belongs to a_tile[y][x].",
            ("a_tile[y][x] =", "a_tile[x][y] ="),
        ),
        mistake(
            "Only the first tile is added up: go along k, one tile after the other.",
            ("k < inner; k += TILE", "k < 1; k += TILE"),
        ),
        mistake(
            "sum starts anew with every tile: set it to 0 once, before the loop.",
            ("        a_tile[y][x] =", "        sum = 0;\n        a_tile[y][x] ="),
        ),
        mistake(
            "The last, partial tile along k is missing: go on while k < inner.",
            ("k < inner; k += TILE", "k + TILE <= inner; k += TILE"),
        ),
        mistake(
            "The rows of b are `columns` long: b[k, column] is b[k * columns + column].",
            ("b[(k + y) * columns + column]", "b[((k + y) * inner + column) % (inner * columns)]"),
        ),
        mistake(
            "Nothing is written to c, or not everywhere: every thread inside of c writes one element.", (WRITE, ";")
        ),
        mistake(
            "Only the first block's elements are right: row and column begin with the block's place times TILE.",
            ("blockIdx.y * TILE + y", "y"),
            ("blockIdx.x * TILE + x", "x"),
        ),
    ),
    suffix=".cu",
    seconds=20,
)
