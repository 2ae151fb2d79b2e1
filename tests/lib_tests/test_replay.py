"""Whole training trajectories of the original system, recorded on its C++ Caffe, replayed pass by pass."""
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from support.reference import ROOT, shared

LOSS, W1, W30 = 1e-4, 2e-6, 2e-4    # the reference's tolerances; weights relative to each parameter's largest value
LEAST_GAP = 1e-5                    # of losses at the end of the minibatch, above which the hard RoIs must be the same


@pytest.fixture(scope="module", params=["c6_ohem", "c6_plain"])
def replayed(request, tmp_path_factory):
    """(record of the original, what we gave, the folder)."""
    folder = tmp_path_factory.mktemp("replay") / request.param
    shutil.copytree(shared("reference", "lib", request.param), folder)
    out = folder.parent / "passes.npz"
    run(ROOT / "tests" / "support" / "replay_passes.py", folder, out)
    return np.load(folder / "record.npz"), np.load(out), folder


def run(script, *args):
    path = os.pathsep.join(str(ROOT / part) for part in ("caffe-fast-rcnn/python", "lib"))
    result = subprocess.run([sys.executable, str(script), *map(str, args)], capture_output=True, text=True,
                            env={**os.environ, "PYTHONPATH": path, "GLOG_minloglevel": "2"})
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_losses_of_every_pass(replayed):
    record, ours, _folder = replayed
    for name in ("loss_cls", "loss_bbox"):
        losses = [float(ours["%s.%d" % (name, n)]) for n in range(60)]
        np.testing.assert_allclose(losses, record[name], rtol=0, atol=LOSS)


@pytest.mark.parametrize("step, tolerance", [(1, W1), (30, W30)])
def test_weights(replayed, step, tolerance):
    record, ours, _folder = replayed
    for name in record["param_names"]:
        want = record["w%d.%s" % (step, name)]
        assert np.abs(ours["w%d.%s" % (step, name)] - want).max() <= tolerance * np.abs(want).max(), name


def test_hard_rois_of_every_pass(replayed):
    record, ours, folder = replayed
    if "hard" not in record:
        assert "rois_hard.0" not in ours        # the plain net mines nothing
        return
    minibatches = np.load(folder / "minibatches.npz")
    clear = [n for n in range(60) if record["gap"][n] > LEAST_GAP]
    assert len(clear) > 50
    for n in clear:
        want = minibatches["mb%d.rois" % (n % int(minibatches["count"]))][record["hard"][n]]
        assert set(map(tuple, ours["rois_hard.%d" % n])) == set(map(tuple, want)), n


def test_the_references_own_replay_script(replayed):
    """It uses pycaffe's public interface only; its figures are the same comparison, and the un-normalised snapshot's."""
    folder = replayed[2]
    lib = [ROOT / "lib"] if folder.name == "c6_ohem" else []
    lines = run(shared("reference", "lib", "replay.py"), folder, *lib).splitlines()
    figures = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}
    limits = {"w0": 0, "w1": W1, "w30": W30, "largest loss difference (second pass of each step)": LOSS,
              "final.caffemodel bbox_pred:0": 0, "final.caffemodel bbox_pred:1": 0, "final.caffemodel others": 0}
    assert figures.keys() == limits.keys()
    assert all(figures[name] <= limits[name] for name in limits), figures
