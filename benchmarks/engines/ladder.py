"""All CPU rungs of an operation in one process, timed call by call."""

from time import perf_counter
from typing import Any

from tinyconv.kernels import registry
from tinyconv.kernels.workspace import Workspace
from tinyconv.version import __version__

from ..cases import Call, cases
from ..machine import last_level_cache
from ..machine import versions as packages

MEMORY_BYTES = 192 * 2**20  # of the arrays for main memory's bandwidth, or four caches if that is more
LONGEST_CALL = 0.25  # seconds; a rung that takes longer for the whole batch gets a part of it
# Seconds that a rung runs before it is timed.  After another one's BLAS call, the system may leave both of Numba's
# threads on one core for a tenth of a second of work, while the other core is idle.
SETTLE = 0.15


def versions() -> dict[str, str]:
    """What the numbers depend on."""
    return {"tinyconv": __version__, **packages(("numpy", "numba", "llvmlite"))}


class Ladder:
    """The rungs of `operation` on the shapes that `networks` have."""

    def __init__(self, *, operation: str, networks: list[str]) -> None:
        self.operation, self.cases = operation, cases(operation, networks)
        self._case = -1  # whose arrays are in memory
        self._calls: dict[int, list[Call]] = {}  # of that case, by batch size
        self._batches: dict[str, int] = {}  # of that case, by rung
        self._workspaces: dict[str, Workspace] = {}

    def describe(self) -> dict[str, Any]:
        """The rungs, and each case: where, shape, batch, its functions, and the rung that the numba backend uses."""
        return {
            "rungs": registry.cpu_rungs(self.operation),
            "cases": [
                {
                    "where": case.where, "shape": case.shape, "batch": case.batch,
                    "functions": [call.function for call in case.calls(1)],
                    "used": registry.default_rung(self.operation, "numba", case.convolution),
                }
                for case in self.cases
            ],
        }

    def limits(self, seconds: float) -> dict[str, float]:
        """What the machine can do at most: see `peaks`."""
        from .. import peaks

        cache = last_level_cache()
        found = {
            "gflops": peaks.multiply_adds(seconds) / 1e9,
            "memory_gbs": peaks.bandwidth(max(MEMORY_BYTES, 4 * cache), seconds) / 1e9,
        }
        return found | ({"cache_gbs": peaks.bandwidth(cache // 3, seconds) / 1e9} if cache else {})

    def get_ready(self, case: int, rung: str) -> int:
        """Compile, and find out how much of the case's batch this rung can do in `LONGEST_CALL`; returns that."""
        if case != self._case:
            self._case, self._calls, self._batches, self._workspaces = case, {}, {}, {}
        module = registry.implementation(self.operation, rung)
        slowest = max(_quickest(call, module) for call in self._for(1))
        self._batches[rung] = max(1, min(self.cases[case].batch, int(LONGEST_CALL / slowest)))
        self._workspaces[rung] = Workspace()
        for call in self._for(self._batches[rung]):
            call.run(module, self._workspaces[rung])
        return self._batches[rung]

    def turn(self, rung: str, function: str, seconds: float) -> dict[str, float]:
        """Call a function for about `seconds`, at least once, after `SETTLE`: GFLOP/s, GB/s, and operations per byte.

        The rung must be ready for the case.
        """
        module, workspace = registry.implementation(self.operation, rung), self._workspaces[rung]
        call = next(call for call in self._for(self._batches[rung]) if call.function == function)
        _seconds_per_call(call, module, workspace, SETTLE)
        elapsed = _seconds_per_call(call, module, workspace, seconds)
        return {
            "seconds": elapsed, "gflops": call.flops / elapsed / 1e9, "gbs": call.nbytes / elapsed / 1e9,
            "intensity": call.flops / call.nbytes,
        }

    def _for(self, batch: int) -> list[Call]:
        """The calls of the case at hand for a batch of that size."""
        if batch not in self._calls:
            self._calls[batch] = self.cases[self._case].calls(batch)
        return self._calls[batch]


def _quickest(call: Call, module: Any) -> float:
    """Seconds of the quickest of three calls, after those that compile and settle."""
    workspace = Workspace()
    _seconds_per_call(call, module, workspace, SETTLE)
    return min(_seconds_per_call(call, module, workspace, 0) for _ in range(3))


def _seconds_per_call(call: Call, module: Any, workspace: Workspace, seconds: float) -> float:
    """Call for about `seconds`, at least once."""
    count, elapsed = 0, 0.0
    begin = perf_counter()
    while count == 0 or elapsed < seconds:
        call.run(module, workspace)
        count += 1
        elapsed = perf_counter() - begin
    return elapsed / count
