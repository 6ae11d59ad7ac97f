"""Philox: the published known answers, and that any part of a stream can be had on its own, on every rung."""

from types import ModuleType

import numba
import numpy as np
import pytest

from tinyconv.kernels import registry
from tinyconv.kernels.contract import PhiloxKey
from tinyconv.kernels.philox import definition, parallel

# counter, key → words: the vectors that come with Random123 (Salmon et al., 2011); the last counter is digits of pi
KNOWN_ANSWERS = [
    ([0, 0, 0, 0], [0, 0], [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]
KEY = PhiloxKey(0xDEADBEEFCAFEBABE, 0x12345678, 7)


@pytest.fixture(params=registry.RUNGS["philox"])
def philox(request: pytest.FixtureRequest) -> ModuleType:
    return registry.implementation("philox", request.param)


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN_ANSWERS)
def test_definition_gives_the_published_answers(counter, key, words):
    assert definition.philox4x32(counter, tuple(key)).tolist() == words


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN_ANSWERS)
def test_compiled_block_gives_the_published_answers(counter, key, words):
    low, high, step, stream = counter
    numbers = [np.uint64(number) for number in (low | high << 32, key[0] | key[1] << 32, stream, step)]
    assert list(parallel.four_words(*numbers)) == words


def test_many_counters_at_once_are_each_on_their_own():
    counters = np.array([counter for counter, _, _ in KNOWN_ANSWERS], np.uint64).T
    together = definition.philox4x32(list(counters), (1, 2))  # (4, 3)
    for column in range(3):
        assert together[:, column].tolist() == definition.philox4x32(list(counters[:, column]), (1, 2)).tolist()


def test_a_key_is_laid_out_as_the_contract_says(philox):
    block = 3 + (5 << 32)  # low word 3, high word 5
    expected = definition.philox4x32([3, 5, KEY.step, KEY.stream], (0xCAFEBABE, 0xDEADBEEF))
    assert philox.bits(KEY, 4, offset=4 * block).tolist() == expected.tolist()


@pytest.mark.parametrize("offset", [0, 1, 2, 3, 4, 5, 4093, 4 * 2**32 - 6])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 8, 11, 4099])
def test_any_part_of_a_stream(philox, offset, size):
    begin = offset // 4 * 4
    blocks = np.arange(begin // 4, begin // 4 + size // 4 + 2, dtype=np.uint64)
    words = definition.philox4x32([blocks & 0xFFFFFFFF, blocks >> 32, KEY.step, KEY.stream], (0xCAFEBABE, 0xDEADBEEF))
    got = philox.bits(KEY, size, offset=offset)
    assert got.dtype == np.uint32
    np.testing.assert_array_equal(got, words.T.reshape(-1)[offset - begin :][:size])


def test_out_is_filled_and_returned(philox):
    out = np.zeros(10, np.uint32)
    assert philox.bits(KEY, 10, out=out) is out
    np.testing.assert_array_equal(out, definition.bits(KEY, 10))
    with pytest.raises(ValueError, match="shape"):
        philox.bits(KEY, 11, out=out)


@pytest.mark.parametrize("other", [KEY._replace(seed=1), KEY._replace(stream=1), KEY._replace(step=1)])
def test_every_part_of_the_key_matters(philox, other):
    assert (philox.bits(KEY, 64) != philox.bits(other, 64)).mean() > 0.9


def test_bits_are_fair(philox):
    words = philox.bits(KEY, 2**14)
    ones = np.unpackbits(words.view(np.uint8)).reshape(-1, 32).mean(axis=0)  # per place: deviation 1/256
    assert np.abs(ones - 0.5).max() < 6 / 256


def test_the_number_of_threads_changes_nothing():
    before = numba.get_num_threads()
    results = []
    for threads in (1, numba.config.NUMBA_NUM_THREADS):
        numba.set_num_threads(threads)
        results.append(parallel.bits(KEY, 50_001, offset=3))
    numba.set_num_threads(before)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], definition.bits(KEY, 50_001, offset=3))
