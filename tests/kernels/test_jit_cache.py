"""Compiled kernels on disk: damaged files, two processes at once, folders that cannot be written."""

import warnings
from pathlib import Path
from typing import Any

import pytest

from tinyconv.kernels import jit, jit_cache


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(jit, "cache_folder", lambda: tmp_path)
    jit_cache._warn.cache_clear()
    return tmp_path


def twice(x: Any) -> Any:
    return x + x


def compiled() -> Any:
    """`twice` as a new process would have it."""
    return jit.jit()(twice).__wrapped__


def hits(function: Any) -> int:
    """How many variants were found on disk."""
    return sum(function.stats.cache_hits.values())


def test_a_kernel_is_kept_for_the_next_process() -> None:
    assert compiled()(2) == 4
    again = compiled()
    assert again(3) == 6
    assert hits(again) == 1


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
@pytest.mark.parametrize("left", [0, 20])
def test_a_damaged_file_is_compiled_again(folder: Path, suffix: str, left: int) -> None:
    compiled()(2)
    (file,) = folder.rglob(f"*.{suffix}")
    file.write_bytes(file.read_bytes()[:left])
    after = compiled()
    assert (after(3), hits(after)) == (6, 0)
    repaired = compiled()
    assert (repaired(3), hits(repaired)) == (6, 1)


def test_processes_that_write_at_once_do_not_mix_up_variants(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one process writes a variant, another that has not seen the index of the first writes its own."""
    save, others = jit_cache._Files._save_data, [2]

    def interrupted(self: Any, name: str, data: Any) -> None:
        while others:
            with monkeypatch.context() as blind:
                blind.setattr(jit_cache._Files, "_load_index", lambda self: {})
                compiled()(others.pop())
        save(self, name, data)

    monkeypatch.setattr(jit_cache._Files, "_save_data", interrupted)
    compiled()(1.5)
    after = compiled()
    assert (after(2), after(1.5)) == (4, 3.0)
    assert hits(after) == 2


def test_a_full_disk_is_told_about_once_and_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(jit_cache._Files, "_save_data", full)
    with pytest.warns(UserWarning, match="No space left on device.*Set NUMBA_CACHE_DIR") as told:
        assert [compiled()(x) for x in (2, 2.5)] == [4, 5]
    assert len(told) == 1


def test_without_any_folder_kernels_still_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_: object) -> None:
        raise RuntimeError("cannot cache function")

    monkeypatch.setattr(jit_cache, "_KernelCache", nowhere)
    with pytest.warns(UserWarning, match="no folder can be written"):
        function = compiled()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert function(2) == 4
