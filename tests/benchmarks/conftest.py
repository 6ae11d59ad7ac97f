"""A contestant made for tests: an engine that answers what its process looks like, and fails in every way."""

from pathlib import Path

import pytest

from tinyconv.benchmarks import contestants
from tinyconv.benchmarks.contestants import Contestant

ENGINE = '''
import os, sys, time

def versions():
    return {"engine": "1.0"}

class Training:
    def __init__(self, speed=1.0, fails_in=None, sleeps=0.0):
        time.sleep(sleeps)
        if speed < 0:
            raise ValueError("speed is negative\\nand more that no table needs")
        self.speed, self.turns, self.fails_in = speed, 0, fails_in
        print("frameworks print what they want")

    def environment(self, name):
        return os.environ.get(name)

    def processors(self):
        return len(os.sched_getaffinity(0))

    def sleep(self):
        time.sleep(60)

    def leave(self):
        print("the last words", file=sys.stderr)
        os._exit(3)

    def turn(self, **arguments):
        self.turns += 1
        if self.turns == self.fails_in:
            raise RuntimeError("out of luck")
        return {"samples_per_second": self.speed * self.turns, "loss": 1.0}
'''


@pytest.fixture(scope="session")
def engine_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the contestants' import path, with the engine above as `fake.engine`."""
    folder = tmp_path_factory.mktemp("engines")
    (folder / "fake").mkdir()
    (folder / "fake" / "__init__.py").touch()
    (folder / "fake" / "engine.py").write_text(ENGINE)
    return folder


@pytest.fixture
def contestant(engine_path: Path, monkeypatch: pytest.MonkeyPatch) -> Contestant:
    monkeypatch.setattr(contestants, "ENGINES", "fake")
    return Contestant("fake", "Fake", "engine", environment={"PYTHONPATH": str(engine_path)})
