"""The lines of result files against Python's own formatting."""
import numpy as np
import pytest
from datasets.result_lines import result_lines

RNG = np.random.default_rng(0)
NUMBERS = {
    "scores": RNG.uniform(0, 1, 20000) ** 20,
    "coordinates": RNG.uniform(0, 2000, 20000).astype(np.float32).astype(np.float64) + 1,
    "all magnitudes": RNG.uniform(0, 1, 20000) * 10 ** RNG.uniform(-20, 20, 20000),
    "few digits": RNG.integers(0, 4000, 20000) / 8,
    "ties in the tenth digit": (RNG.integers(10 ** 8, 10 ** 9, 20000) + 0.5) / 10.0 ** RNG.integers(0, 15, 20000),
    "powers of ten": 10.0 ** np.arange(-30, 30),
    "just below powers of ten": np.nextafter(10.0 ** np.arange(-30, 30), 0),
    "just above powers of ten": np.nextafter(10.0 ** np.arange(-30, 30), np.inf),
    "nines": 1 - 10.0 ** -np.arange(1, 17),
    "negative and special": np.array([0, -0.0, -1.5, -1e-7, -123456.789012, np.nan, np.inf, -np.inf, 5e-324, 1e308]),
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_as_python_writes_them(kind):
    numbers = NUMBERS[kind].reshape(-1, 2)
    want = "".join("00 5 %.9g %.9g\n" % tuple(row) for row in numbers.tolist())
    assert result_lines(b"00 5", numbers).decode() == want


def test_every_bit_pattern_of_a_float32_comes_back():
    values = RNG.integers(0, 0x7f800000, 100000).astype(np.uint32).view(np.float32)
    text = result_lines(b"x", values[:, np.newaxis].astype(np.float64)).split()[1::2]
    assert np.array_equal(np.array(text, dtype=np.float32), values)


def test_no_rows():
    assert result_lines(b"x", np.zeros((0, 5))) == b""


def test_a_name_in_any_alphabet():
    assert result_lines("ä b".encode(), [[1, 2.5]]).decode() == "ä b 1 2.5\n"
