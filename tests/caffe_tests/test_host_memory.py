"""Holes between arrays go back to the system once there are many; freed memory is kept otherwise."""
import os
import subprocess
import sys

import pytest
from caffe import host_memory
from caffe.host_memory import Trimmer

# In a process of its own, whose memory holds nothing else: arrays, every other one freed, then all.
PROGRAM = """
import torch
from caffe.host_memory import Trimmer, keep_freed_memory, resident_bytes
keep_freed_memory()
MB = 1 << 20
arrays = lambda count: [torch.ones(MB // 4) for _ in range(count)]
first = arrays(300)
trimmer, before = Trimmer(), resident_bytes()
print(trimmer.trim_if_grown())
held = arrays(2 * int(before / MB))[::2]
grown = resident_bytes()
print(trimmer.trim_if_grown(), (grown - resident_bytes()) / MB / len(held) > 0.9, all(x.sum() == MB // 4 for x in held))
print(trimmer.trim_if_grown())
now = resident_bytes()
del first, held
print(trimmer.trim_if_grown(), (now - resident_bytes()) / MB < 50)
"""


@pytest.mark.skipif(host_memory._C is None, reason="the C library is not glibc")
def test_holes_go_back_when_memory_has_grown_and_freed_memory_stays():
    said = subprocess.run([sys.executable, "-c", PROGRAM], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                          capture_output=True, text=True)
    assert said.stdout.split() == ["False", "True", "True", "True", "False", "False", "True"], said.stdout + said.stderr


def test_the_first_pass_behind_a_trimming_is_the_measure(monkeypatch):
    trims, resident = [], iter([100, 108, 112, 160, 170, 177, 110, 120, 122])
    monkeypatch.setattr(host_memory, "_C", type("C", (), {"malloc_trim": staticmethod(lambda pad: trims.append(pad) or 1)}))
    monkeypatch.setattr(host_memory, "resident_bytes", lambda: next(resident))
    trimmer = Trimmer()
    assert [trimmer.trim_if_grown() for _ in range(9)] == [False, False, True, False, False, True, False, False, True]
    assert trims == [0, 0, 0]


def test_other_c_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(host_memory, "_C", None)
    host_memory.keep_freed_memory()
    assert not any(Trimmer().trim_if_grown() for _ in range(3))
