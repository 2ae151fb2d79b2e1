"""Training in several processes: one update is that of one process with as many passes; a lost process is noticed."""
import os
import re
import signal
import subprocess
import sys

import caffe
import numpy as np
import pytest
from caffe.gradient_buckets import make_buckets
from support.parallel_solver import (
    ITERS,
    make_solver,
    products_after_a_broadcast,
    say_who_is_left,
    train_rank,
    weights,
)
from support.ranks import run_ranks


@pytest.mark.parametrize("count, iter_size, layer_wise", [(2, 2, True), (3, 1, False)])
def test_many_processes_equal_one_with_as_many_passes(tmp_path, capfd, count, iter_size, layer_wise):
    """Weights of all parameters to float32's rounding: shared, of a Python layer, frozen; decay, momentum."""
    codes, _, log = run_ranks(count, train_rank, tmp_path, iter_size, layer_wise)
    assert codes == [0] * count, log
    early = [0] * (iter_size - 1) + [2] if layer_wise else [0]  # `last` and the Python layer, in an iteration's last pass
    one = make_solver(tmp_path / "one", count * iter_size)
    capfd.readouterr()
    one.step(ITERS)
    for rank in range(count):
        with np.load(tmp_path / ("rank%d.npz" % rank)) as theirs:
            assert set(theirs.files) == {"sent", *weights(one)} and theirs["sent"].tolist() == early * ITERS
            for name, array in weights(one).items():
                np.testing.assert_allclose(theirs[name], array, rtol=2e-5, atol=1e-6, err_msg=name)
    losses = [[float(x) for x in re.findall(r"Iteration \d+, loss = (\S+)", text)] for text in (log, capfd.readouterr().err)]
    assert len(losses[0]) == ITERS                              # rank 0 alone says them: the means over the processes
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    assert [sorted(path.name for path in (tmp_path / name).glob("*.caffemodel")) for name in ("rank0", "rank1")] == [
        ["snap_iter_2.caffemodel", "snap_iter_4.caffemodel"], []]


def test_a_broadcast_leaves_no_rounded_copy_of_old_weights(tmp_path):
    codes, said, log = run_ranks(2, products_after_a_broadcast, tmp_path)
    assert codes == [0, 0] and said.split() == ["fresh", "fresh"], log


def test_buckets_are_in_the_order_of_backward_and_leave_shared_parameters_to_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr("caffe.gradient_buckets.BUCKET_BYTES", 40)
    net = make_solver(tmp_path, 1).net
    numbers = {name: number for number, name in enumerate(net.layer_dict)}
    assert [(bucket.ready, bucket.flat.numel()) for bucket in make_buckets(net)] == [
        (numbers["last"], 8), (numbers["offset"], 3), (numbers["first"], 9), (numbers["first"], 3)]


def test_buckets_hold_the_diffs_and_copy_those_that_were_replaced(tmp_path):
    net = make_solver(tmp_path, 1).net
    bucket, = make_buckets(net)
    net.forward()
    net.backward()
    bucket.collect()
    bucket.hand_back()
    assert bucket.flat.any() and (bucket.flat[:6] == net.params["last"][0].diff_tensor.flatten()).all()
    net.clear_param_diffs()
    assert not bucket.flat.any()
    net.forward()
    net.params["last"][0].diff_tensor = net.params["last"][0].diff_tensor + 7
    bucket.collect()
    assert (bucket.flat[:6] == 7).all()


def test_buckets_copy_the_diffs_that_users_hold(tmp_path):
    net = make_solver(tmp_path, 1).net
    bucket, = make_buckets(net)
    view = net.params["last"][0].diff
    net.forward()
    net.backward()
    assert view.any()
    bucket.collect()
    assert (bucket.flat[:6].numpy() == view.ravel()).all()
    bucket.flat.fill_(7)            # what the other processes make of it
    bucket.hand_back()
    assert (net.params["last"][0].diff_tensor == 7).all()
    net.show_views()                # at the end of an update
    assert (view == 7).all()
    net.clear_param_diffs()
    assert not view.any()


# The first exit handler to be registered is the last to run.
LEAVE = """
import atexit, sys
import torch.distributed as dist
atexit.register(lambda: print("still joined" if dist.is_initialized() else "left", flush=True))
import caffe
caffe.set_solver_count(2)
caffe.set_solver_rank(int(sys.argv[2]))
caffe.set_multiprocess(True)
nccl = caffe.NCCL(None, sys.argv[1])
nccl.mean([1])
if sys.argv[3] == "torn" and sys.argv[2] == "0":
    nccl._wait = lambda work: sys.exit(0)       # as a signal would in the middle of it
    nccl.mean([2])
"""


@pytest.mark.parametrize("end, said", [("whole", ["left", "left"]), ("torn", ["still joined", "left"])])
def test_processes_leave_each_other_when_nothing_is_on_its_way(end, said):
    """Threads of torch.distributed that still ran aborted a program that had done its work, now and then."""
    uid, path = caffe.NCCL.new_uid(), os.pathsep.join(sys.path)
    ranks = [subprocess.Popen([sys.executable, "-c", LEAVE, uid, str(rank), end], stdout=subprocess.PIPE, text=True,
                              env={**os.environ, "PYTHONPATH": path}) for rank in range(2)]
    assert [process.communicate(timeout=60)[0].strip() for process in ranks] == said
    assert [process.returncode for process in ranks] == [0, 0]


def test_a_killed_process_is_named_by_the_others():
    codes, said, log = run_ranks(3, say_who_is_left)
    assert codes == [7, -signal.SIGKILL, 7], log
    assert "0 0 rank 1 of the 3 processes of this run ended or was killed" in said


def test_ranks_outside_the_count_and_threads_are_refused():
    caffe.set_solver_count(2)
    try:
        with pytest.raises(caffe.CaffeError, match=r"call caffe.set_multiprocess\(True\)"):
            caffe.NCCL(None, "env://")
        caffe.set_solver_rank(2)
        with pytest.raises(caffe.CaffeError, match="solver_rank is 2, solver_count 2"):
            caffe.NCCL(None, "env://")
    finally:
        caffe.set_solver_count(1)
        caffe.set_solver_rank(0)


def test_alone_nothing_is_sent(tmp_path):
    nccl = caffe.NCCL(make_solver(tmp_path, 1), caffe.NCCL.new_uid())
    nccl.bcast()
    with nccl.root_first():
        assert nccl.mean([3]) == [3] and nccl.gather("a") == ["a"]
