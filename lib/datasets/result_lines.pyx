# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The lines of a result file, built as datasets.result_lines: what "%.9g" gives, about ten times as fast."""
from libc.stdio cimport snprintf
from libc.string cimport memcpy
import numpy as np

cdef enum:
    DIGITS = 9      # significant ones; enough for any float32
    WIDTH = 24      # bytes that a number takes at most, and the space before it

cdef double[14] TENTH_POWERS = [1e0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-13]
cdef double[23] POWERS = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
                          1e17, 1e18, 1e19, 1e20, 1e21, 1e22]       # all of them exact


def result_lines(bytes name, numbers):
    """b'<name> <number> ... <number>\\n' for each row of numbers (N, K), every number as by "%.9g"."""
    numbers = np.ascontiguousarray(numbers, dtype=np.float64)
    cdef Py_ssize_t room = len(numbers) * (len(name) + 1 + WIDTH * numbers.shape[1])
    text = np.empty(room, np.uint8)
    cdef Py_ssize_t used = 0
    if room:
        used = _write_lines(text, name, len(name), numbers)
    return text[:used].tobytes()


cdef Py_ssize_t _write_lines(unsigned char[::1] text, const char* name, Py_ssize_t length,
                             const double[:, ::1] numbers) noexcept nogil:
    cdef char* start = <char*>&text[0]
    cdef char* out = start
    cdef Py_ssize_t n, k
    for n in range(numbers.shape[0]):
        memcpy(out, name, length)
        out += length
        for k in range(numbers.shape[1]):
            out[0] = b' '
            out = _write_number(out + 1, numbers[n, k])
        out[0] = b'\n'
        out += 1
    return out - start


cdef char* _write_number(char* out, double value) noexcept nogil:
    """"%.9g" of value at `out`; returns the end."""
    cdef int exponent = 0
    cdef double scaled, part
    cdef unsigned long long digits
    if not 1e-13 < value < 1e9:                 # 0, negative ones and nan among them
        return out + snprintf(out, WIDTH, "%.9g", value)
    if value >= 1:
        while value >= POWERS[exponent + 1]:
            exponent += 1
    else:
        while value < TENTH_POWERS[-exponent]:
            exponent -= 1
    scaled = value * POWERS[DIGITS - 1 - exponent]          # below 1e9, right to 1e-7
    digits = <unsigned long long>scaled
    part = scaled - digits
    if 0.499999 < part < 0.500001:              # too near a tie to tell which way it goes
        return out + snprintf(out, WIDTH, "%.9g", value)
    digits += part > 0.5
    if digits >= 1000000000ULL or digits < 100000000ULL:    # rounded up, or the power of ten was not exact
        return out + snprintf(out, WIDTH, "%.9g", value)
    return _write_fixed(out, digits, exponent) if exponent >= -4 else _write_scientific(out, digits, exponent)


cdef char* _write_fixed(char* out, unsigned long long digits, int exponent) noexcept nogil:
    """digits (9 of them) * 10 ** (exponent - 8), exponent -4 to 8, without zeros at the end."""
    cdef char[DIGITS] text
    cdef int k, count = _significant(text, digits)
    if exponent < 0:
        memcpy(out, b"0.000", 1 - exponent)
        memcpy(out + 1 - exponent, text, count)
        return out + 1 - exponent + count
    for k in range(max(count, exponent + 1)):
        if k == exponent + 1:
            out[0] = b'.'
            out += 1
        out[0] = text[k]
        out += 1
    return out


cdef char* _write_scientific(char* out, unsigned long long digits, int exponent) noexcept nogil:
    """As _write_fixed for exponents -99 to -5: d.ddde-05."""
    cdef char[DIGITS] text
    cdef int count = _significant(text, digits)
    out[0] = text[0]
    out += 1
    if count > 1:
        out[0] = b'.'
        memcpy(out + 1, text + 1, count - 1)
        out += count
    out[0], out[1], out[2], out[3] = b'e', b'-', <char>(48 + -exponent // 10), <char>(48 + -exponent % 10)
    return out + 4


cdef int _significant(char* text, unsigned long long digits) noexcept nogil:
    """Write 9 digits; returns how many there are without the zeros at the end."""
    cdef int k, count = DIGITS
    for k in range(DIGITS - 1, -1, -1):
        text[k] = <char>(48 + digits % 10)
        digits //= 10
    while count > 1 and text[count - 1] == 48:
        count -= 1
    return count
