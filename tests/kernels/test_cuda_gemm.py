"""The matrix products of the CUDA rungs: every tile, every width of load, sums in parts, threads in any order."""

import re
import shutil
import subprocess
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tinyconv.kernels import registry
from tinyconv.kernels.cuda import gemm, host, source
from tinyconv.kernels.workspace import Workspace

pytestmark = pytest.mark.skipif(not host.available(), reason="no C++ compiler (g++)")

FUSED, THREE = (registry.implementation("conv_relu_maxpool", name) for name in ("cuda", "definition"))
CUDA, IM2COL = (registry.implementation("conv2d", name) for name in ("cuda", "im2col"))
DENSE, DENSE_DEFINITION = (registry.implementation("dense", name) for name in ("cuda", "definition"))

EVERY_TILE = sorted({
    tile for size in (4, 8) for vectors in (True, False) for small in (True, False)
    for tile in gemm.tiles(size, vectors, small=small)
})  # fmt: skip


def all_products(rung, shape, w_shape, dtype, **windows):
    """y with and without bias, dx, dw and db of one convolution."""
    rng = np.random.default_rng(0)
    x, w, b = (rng.standard_normal(size).astype(dtype) for size in (shape, w_shape, w_shape[3]))
    y = rung.forward(x, w, b, **windows)
    dy = rng.standard_normal(y.shape).astype(dtype)
    return [
        y, rung.forward(x, w, **windows), rung.backward_input(dy, w, x.shape, **windows),
        *rung.backward_weights(x, dy, w.shape, **windows),
    ]  # fmt: skip


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("tile", EVERY_TILE, ids=lambda tile: "x".join(map(str, tile)))
def test_every_tile(tile, parts, monkeypatch):
    """With several tiles in each direction, the last ones partly outside; by fours where channels allow."""

    def plan(m, n, k, *_, **__):
        k_per_part = -(-k // (parts * tile.depth)) * tile.depth
        return gemm.Plan(tile, -(-k // k_per_part), k_per_part)

    monkeypatch.setattr(gemm, "plan", plan)
    for channels, filters, dtype in ((28, 132, np.float32), (3, 5, np.float32), (12, 20, np.float64)):
        tolerance = 1e-5 if dtype == np.float32 else 1e-13
        shape, w_shape = (3, 9, 8, channels), (3, 2, channels, filters)
        windows = {"padding": ((1, 1), (0, 1)), "strides": (1, 1), "dilation": (1, 1)}
        for mine, theirs in zip(
            all_products(CUDA, shape, w_shape, dtype, **windows),
            all_products(IM2COL, shape, w_shape, dtype, **windows), strict=True,
        ):  # fmt: skip
            assert np.linalg.norm(mine - theirs) <= tolerance * np.linalg.norm(theirs)


@pytest.mark.parametrize("tile", EVERY_TILE, ids=lambda tile: "x".join(map(str, tile)))
def test_every_tile_pools(tile, monkeypatch):
    monkeypatch.setattr(gemm, "plan", lambda m, n, k, *_, **__: gemm.Plan(tile, 1, k))
    rng = np.random.default_rng(0)
    x, w, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((3, 9, 12, 4), (3, 2, 4, 140), (140,)))
    conv = {"strides": (1, 1), "padding": ((1, 1), (0, 1)), "dilation": (1, 1)}
    for pool_size, strides, padding in (((2, 2), (2, 2), ((0, 1), (0, 0))), ((3, 2), (3, 2), ((1, 1), (0, 1)))):
        if pool_size != (2, 2) and tile.thread_rows == 8:
            continue  # never chosen: see `small`
        pool = {"pool_strides": strides, "pool_padding": padding}
        y, winners = FUSED.forward(x, w, b, pool_size, **conv, **pool)
        expected, expected_winners = THREE.forward(x, w, b, pool_size, **conv, **pool)
        np.testing.assert_allclose(y, expected, atol=1e-5)
        assert (winners == expected_winners).mean() > 0.9999  # two sums may be equal but for rounding


def test_pools_of_more_places_than_a_byte_can_number():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((1, 18, 18, 1)), rng.standard_normal((1, 1, 1, 2))
    conv = {"strides": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1)}
    pool = {"pool_strides": (17, 17), "pool_padding": ((0, 0), (0, 0))}
    y, winners = FUSED.forward(x, w, None, (17, 17), **conv, **pool)
    expected, expected_winners = THREE.forward(x, w, None, (17, 17), **conv, **pool)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(winners, expected_winners)
    assert winners.dtype == np.uint32
    assert winners.max() > 255


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no CUDA compiler (nvcc)")
@pytest.mark.parametrize(
    ("file", "options"), [
        ("conv2d/conv2d.cu", {}), ("conv2d/conv2d.cu", {"products": 4}), ("dense/dense.cu", {}),
        ("conv_relu_maxpool/quarters.cu", {}), ("conv_relu_maxpool/places.cu", {"small": True}),
        ("conv2d/conv2d.cu", {"precision": "tf32"}), ("conv2d/conv2d.cu", {"precision": "bf16"}),
        ("conv2d/conv2d.cu", {"precision": "bf16", "products": 4}), ("conv2d/conv2d.cu", {"itemsize": 8}),
        ("conv_relu_maxpool/quarters.cu", {"itemsize": 8}),
    ], ids=lambda one: Path(one).stem if isinstance(one, str) else "-".join(map(str, one.values())),
)  # fmt: skip
def test_no_tile_spills(file, options, tmp_path):
    """Every tile that `plan` can choose leaves its sums in registers, at three generations of GPUs."""
    variants = []
    dtype, one_class = "double" if "itemsize" in options else "float", int("products" not in options)
    for width in (4, 1):
        for tile in gemm.tiles(**{"itemsize": 4, "vectors": width == 4, **options}):
            macros = {**tile.defines(), "T": dtype, "WINNER": "char", "A_WIDTH": width, "B_WIDTH": width}
            macros |= {"ONE_CLASS": one_class}
            macros |= {"TENSOR_CORES": gemm.TENSOR_CORES[options["precision"]]} if "precision" in options else {}
            variants.append(tmp_path / f"variant_{len(variants)}.cu")
            text = source.variant(Path(registry.__file__).parent / file, source.defines(macros))
            variants[-1].write_text(text, encoding="utf-8")
    generations = (80, 90) if "precision" in options else (75, 80, 90)
    targets = [f"-gencode=arch=compute_{one},code=sm_{one}" for one in generations]
    command = ["nvcc", "-std=c++17", "-fatbin", "-Xptxas=-v", "--threads=0", *targets, *variants]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    spilled = re.findall(r"(\d+) bytes spill stores", ended.stderr)
    assert len(spilled) >= len(generations) * len(variants)
    assert set(spilled) == {"0"}, ended.stderr


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("nvcc") and shutil.which("cuobjdump")), reason="no nvcc with cuobjdump")
@pytest.mark.parametrize("tile", gemm.TILES, ids=lambda tile: "x".join(map(str, tile)))
def test_instructions_are_as_many_as_a_disassembler_counts(tile, tmp_path):
    """Instructions per multiply-add in the loop along k of the convolution, for compute capability 9.0."""
    macros = {**tile.defines(), "T": "float", "A_WIDTH": 4, "B_WIDTH": 4, "ONE_CLASS": 1}
    text = source.variant(Path(registry.__file__).parent / "conv2d" / "conv2d.cu", source.defines(macros))
    (tmp_path / "conv2d.cu").write_text(text, encoding="utf-8")
    run = partial(subprocess.run, cwd=tmp_path, capture_output=True, text=True, check=True)
    run(["nvcc", "-std=c++17", "-cubin", "-arch=sm_90", "conv2d.cu"])
    listing = run(["cuobjdump", "-sass", "conv2d.cubin"]).stdout
    body = listing.partition("Function : conv2d_forward")[2].partition("Function : ")[0]
    code = re.findall(r"/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+ +)?(\w+)([^;]*);", body)
    places = {int(address, 16): number for number, (address, _, _) in enumerate(code)}
    loops = [
        code[places[target] : number + 1]
        for number, (_, name, rest) in enumerate(code)
        if name == "BRA" and (target := int(re.search(r"0x([0-9a-f]+)", rest)[1], 16)) in places
        and places[target] < number
    ]  # fmt: skip
    loop = max(loops, key=len)
    multiply_adds = sum(name == "FFMA" for _, name, _ in loop)
    assert multiply_adds == tile.thread_rows * tile.thread_columns * tile.depth
    assert tile.instructions == pytest.approx(len(loop) / multiply_adds, rel=0.06)


def test_strides_of_all_kinds():
    """Pixels that fall into classes by the taps they lie under, some of them under none."""
    rng = np.random.default_rng(0)
    for _ in range(60):
        strides, dilation, kernel = (tuple(map(int, rng.integers(1, most, 2))) for most in (6, 5, 5))
        padding = tuple((int(a), int(b)) for a, b in rng.integers(0, 4, (2, 2)))
        size = [int(rng.integers(1, 8)) + (k - 1) * d for k, d in zip(kernel, dilation, strict=True)]
        windows = {"strides": strides, "padding": padding, "dilation": dilation}
        w = rng.standard_normal((*kernel, 2, 3))
        dy = rng.standard_normal(IM2COL.forward(np.zeros((2, *size, 2)), w, **windows).shape)
        got = CUDA.backward_input(dy, w, (2, *size, 2), out=np.full((2, *size, 2), np.nan), **windows)
        expected = IM2COL.backward_input(dy, w, (2, *size, 2), **windows)
        np.testing.assert_allclose(got, expected, atol=1e-12, err_msg=f"{size} {kernel} {windows}")


def test_the_plan_takes_each_tile_somewhere():
    shapes = [
        (10**6, 512, 1152), (10**6, 64, 288), (64, 128, 3200), (10**5, 32, 27), (10**5, 10, 128), (9, 64, 86528),
    ]  # fmt: skip
    chosen = {gemm.plan(*shape, 4, True).tile for shape in shapes}
    assert {*chosen, gemm.plan(9000, 32, 288, 4, True, whole=True).tile} == set(gemm.TILES)
    assert gemm.plan(*shapes[0], 8, True).tile != gemm.LARGE


@pytest.mark.parametrize("shape", [(9, 64, 86528), (128, 128, 9216), (64, 10, 128), (5, 5, 1), (7, 3, 129)])
def test_parts_cover_the_sum_once(shape):
    tile, parts, k_per_part = gemm.plan(*shape, 4, False)
    assert k_per_part % tile.depth == 0
    assert (parts - 1) * k_per_part < shape[2] <= parts * k_per_part


def test_long_sums_of_small_results_are_cut_into_parts():
    assert 100 < gemm.plan(9, 64, 86528, 4, False).parts <= gemm.MOST_PARTS
    assert gemm.plan(10**6, 64, 576, 4, True).parts == 1


@pytest.mark.parametrize("rows", [1, 2, 4, 8, 16])
def test_parts_are_added_by_as_many_threads_per_element_as_there_may_be(rows, monkeypatch):
    """Of two results of which one follows the other, with parts left over for some of the rows."""
    monkeypatch.setattr(gemm, "threads_per_element", lambda parts, part_size: rows)
    monkeypatch.setattr(gemm, "plan", lambda m, n, k, *_, **__: gemm.Plan(gemm.TILES[2], 19, 16))
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((300, 30)).astype(np.float32), rng.standard_normal((300, 70)).astype(np.float32)
    dw, db = DENSE.backward_weights(x, dy)
    np.testing.assert_allclose(dw, x.T @ dy, atol=1e-4)
    np.testing.assert_allclose(db, dy.sum(0), atol=1e-4)


def test_threads_that_add_parts_up():
    """Few elements are shared by many threads, many elements by none, and no thread is without a part."""
    sizes = [(3, 692_224), (5, 819_200), (51, 73_856), (50, 8192), (2, 100), (450, 640), (2, 2**22)]
    assert [gemm.threads_per_element(*size) for size in sizes] == [1, 1, 2, 16, 2, 16, 1]


def test_a_short_sum_is_not_worth_a_second_launch():
    assert gemm.plan(32, 10, 128, 4, False).parts == 1
    assert gemm.plan(32, 10, 255, 4, False).parts == 1
    assert gemm.plan(32, 10, 256, 4, False).parts == 4
    assert gemm.plan(32_000, 32, 576, 4, True).parts == 2  # one large cut saves as much as three small ones


def test_products_at_once_fill_the_gpu_together():
    """One alone leaves most of it idle, and so may its tiles be; of many, what a tile leaves empty counts."""
    alone, together = (gemm.plan(80, 64, 576, 4, True, whole=True, products=count).tile for count in (2, 400))
    assert (alone.rows, together.rows) == (64, 16)


@pytest.mark.parametrize("backwards", [False, True])
def test_the_order_of_the_threads_does_not_matter(backwards, monkeypatch):
    """A missing barrier would show: each thread runs as far as it can before the next one starts."""
    monkeypatch.setattr(host, "launch", partial(host.launch, backwards=backwards))
    for mine, theirs in zip(
        all_products(CUDA, (2, 12, 12, 8), (3, 3, 8, 68), np.float64),
        all_products(IM2COL, (2, 12, 12, 8), (3, 3, 8, 68), np.float64), strict=True,
    ):  # fmt: skip
        np.testing.assert_allclose(mine, theirs, atol=1e-11)


def test_same_bits_twice_also_with_old_scratch_memory():
    """The weight gradient is summed in parts, which lie in scratch memory."""
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal((7, size, size, 4)).astype(np.float32) for size in (14, 10))
    workspace = Workspace()
    workspace.array("gemm/parts", (10**6,), np.float32)[:] = np.nan
    dw, db = CUDA.backward_weights(x, dy, (5, 5, 4, 4), workspace=workspace)
    for memory in (None, workspace):
        again = CUDA.backward_weights(x, dy, (5, 5, 4, 4), workspace=memory)
        assert (again[0].tobytes(), again[1].tobytes()) == (dw.tobytes(), db.tobytes())
    assert np.isfinite(dw).all()


def test_arrays_that_start_anywhere():
    """Fours are loaded at once only from addresses that are multiples of 16."""
    rng = np.random.default_rng(0)
    memory = rng.standard_normal(4 * 8 * 4 + 1).astype(np.float32)
    even, odd = memory[:-1].reshape(16, 8), memory[1:].reshape(16, 8)
    assert sorted((gemm.width(even, 8), gemm.width(odd, 8))) == [1, 4]
    assert gemm.width(even, 6) == 1
    w = rng.standard_normal((8, 12)).astype(np.float32)
    for x in (even, odd):
        np.testing.assert_allclose(DENSE.forward(x, w), x @ w, atol=1e-5)
        out = rng.standard_normal(16 * 12 + 1).astype(np.float32)[1:].reshape(16, 12)
        np.testing.assert_allclose(DENSE.forward(x, w, out=out), x @ w, atol=1e-5)


def test_division_by_multiplication():
    rng = np.random.default_rng(0)
    for divisor in [*range(1, 70), 255, 256, 257, 65535, 65536, 10**6 + 3, 2**30, 2**31 - 1]:
        multiplier, shift = map(int, gemm.divider(divisor))
        multiples = np.arange(0, 2**31, max(divisor, 2**20), dtype=np.int64)
        n = np.concatenate([multiples, np.maximum(multiples - 1, 0), rng.integers(0, 2**31, 1000), [2**31 - 1]])
        high = n * multiplier >> 32
        assert ((high + n) >> shift == n // divisor).all()
        assert multiplier < 2**32
        assert (high + n < 2**32).all()


def test_empty_sums_and_results():
    """Without features or channels there is nothing to add up; without units or filters, nothing to write."""
    x, dy, b = np.ones((3, 5)), np.ones((3, 4)), np.arange(4.0)
    np.testing.assert_array_equal(DENSE.forward(x[:, :0], np.ones((0, 4)), b), [b] * 3)
    assert DENSE.forward(x, np.ones((5, 0))).shape == (3, 0)
    np.testing.assert_array_equal(DENSE.backward_input(dy[:, :0], np.ones((5, 0))), np.zeros((3, 5)))
    for features, units in ((0, 4), (5, 0)):
        dw, db = DENSE.backward_weights(x[:, :features], dy[:, :units])
        assert dw.shape == (features, units)
        np.testing.assert_array_equal(db, [3.0] * units)
    images, w, dy = np.ones((2, 5, 5, 0)), np.ones((3, 3, 0, 4)), np.ones((2, 3, 3, 4))
    np.testing.assert_array_equal(CUDA.forward(images, w, b), np.broadcast_to(b, dy.shape))
    np.testing.assert_array_equal(CUDA.backward_weights(images, dy, w.shape)[1], [18.0] * 4)
    assert CUDA.backward_input(dy, w, images.shape).shape == images.shape


def test_taps_far_outside():
    """The places that taps outside of the image would have are more than 32 bits can count."""
    x, w = np.zeros((1, 1, 46340, 1), np.float32), np.ones((2, 1, 1, 1), np.float32)
    x[0, 0, 7] = 50
    windows = {"dilation": (46600, 1), "padding": ((46600, 0), (0, 0)), "strides": (1, 1)}
    y = CUDA.forward(x, w, **windows)
    assert y.shape == (1, 1, 46340, 1)
    assert (y.sum(), y[0, 0, 7, 0]) == (50, 50)
    dx = CUDA.backward_input(y, w, x.shape, **windows)
    assert (dx.sum(), dx[0, 0, 7, 0]) == (50, 50)


def test_an_empty_batch():
    x, w = np.empty((0, 5, 5, 2), np.float32), np.ones((3, 3, 2, 4), np.float32)
    for rung in (CUDA, registry.implementation("conv2d", "cuda_im2col")):
        y = rung.forward(x, w)
        assert y.shape == (0, 3, 3, 4)
        assert rung.backward_input(y, w, x.shape).shape == x.shape
        dw, db = rung.backward_weights(x, y, w.shape)
        assert not dw.any()
        assert not db.any()
    assert DENSE.forward(np.empty((0, 3)), np.ones((3, 2))).shape == (0, 2)
    assert not DENSE.backward_weights(np.empty((0, 3)), np.empty((0, 2)))[0].any()


def test_too_many_elements():
    shape = (2**20, 32, 32, 3)  # of y 2^30 · 64: no array is made
    with pytest.raises(ValueError, match=r"x has 3221225472 elements, but the CUDA kernels count to 2\^31 - 1"):
        CUDA.scalars(shape, (3, 3, 3, 64), (1, 1), ((1, 1), (1, 1)), (1, 1))
