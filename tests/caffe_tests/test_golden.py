"""Recorded vectors of a C++ Caffe: forward, every diff, every parameter diff, and solver steps."""
import caffe
import numpy as np
import pytest
from support.golden import differences_of_net, differences_of_solver
from support.reference import shipped

CASES = sorted(path.stem for path in shipped("golden").glob("*.npz"))


@pytest.mark.parametrize("name", CASES)
def test_recorded_vectors(name, tmp_path):
    caffe.set_mode_cpu()
    case = np.load(shipped("golden", f"{name}.npz"), allow_pickle=False)
    differences = (differences_of_solver if "solver" in case.files else differences_of_net)(case, tmp_path)
    assert not differences, "\n".join(differences)


def test_another_number_is_a_difference(tmp_path):
    """The comparison can fail: a recorded value is changed by a hundredth of the largest."""
    case = np.load(shipped("golden", f"{CASES[0]}.npz"), allow_pickle=False)

    class Changed(dict):
        files = case.files
    changed = Changed({key: case[key] for key in case.files})
    key = next(key for key in case.files if key.startswith(("data:", "w1:")))
    changed[key] = changed[key] + 0.01 * np.abs(changed[key]).max()
    check = differences_of_solver if "solver" in case.files else differences_of_net
    assert len(check(changed, tmp_path)) == 1
