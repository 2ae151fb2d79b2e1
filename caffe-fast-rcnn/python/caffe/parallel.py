"""Training in several processes: each has a solver and data of its own, and all make the same update.

pycaffe's NCCL on torch.distributed: gloo on the CPU, nccl (and gloo for numbers that are not gradients) on GPUs.
"""
import atexit
import datetime
import os
import socket
import time
from contextlib import contextmanager

import torch
import torch.distributed as dist

from . import common
from .common import CaffeError
from .gradient_buckets import make_buckets

TIMEOUT = datetime.timedelta(minutes=30)    # for a process that stands still; one that ends is noticed at once
LOOK_EVERY = 0.5                            # seconds between looks whether the other processes are there
SECONDS_TO_DIE = 5                          # from a closed connection to the end of the process behind it
SECONDS_TO_REPORT = 20                      # for the one that is left to report a loss, before the others leave


class LostProcess(CaffeError):
    """Another process of the run ended.  ranks: which, as far as is known; first_left: the lowest of the others."""

    def __init__(self, message, ranks):
        super().__init__(message)
        self.ranks = ranks
        self.first_left = min(set(range(common.solver_count())) - set(ranks), default=0)


class NCCL:
    """What binds the solvers of several processes together.

        caffe.set_solver_count(2); caffe.set_solver_rank(rank); caffe.set_multiprocess(True)
        solver = caffe.get_solver("solver.prototxt")
        nccl = caffe.NCCL(solver, uid)              # uid: the NCCL.new_uid() of one process, told to the others
        nccl.bcast()                                # all start from the weights of rank 0
        solver.add_callback(nccl)                   # before each update, diffs become their mean over the processes
        if solver.param.layer_wise_reduce:          # (the default)
            solver.net.after_backward(nccl)         # ... and set out while backward still runs

    One update of N processes is that of one process with N times the iter_size on the same data.  With a solver_count
    of 1 nothing is sent.  Beyond pycaffe: solver None only joins the processes; mean, gather and root_first; a process
    that ends raises LostProcess in the others.
    """

    def __init__(self, solver, uid):
        self._solver, self._buckets, self._works = solver, [], []
        self._torn = False              # a call to the others was left in the middle
        self.count, self.rank = common.solver_count(), common.solver_rank()
        if not 0 <= self.rank < self.count:
            raise CaffeError("NCCL: solver_rank is %d, solver_count %d; expected 0 <= rank < count"
                             % (self.rank, self.count))
        if self.count == 1:
            return
        if not common.multiprocess():
            raise CaffeError("NCCL: solvers are processes here, not threads; call caffe.set_multiprocess(True)")
        self._join(uid)
        if solver is not None:
            self._buckets = make_buckets(solver.net)

    @staticmethod
    def new_uid():
        """Where the processes of one run meet, as bytes: torchrun's address, else a free port of this machine."""
        if "TORCHELASTIC_RUN_ID" in os.environ:
            return b"env://"
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            return b"tcp://127.0.0.1:%d" % s.getsockname()[1]

    def _join(self, uid):
        self._processes = ()            # (host, process id) by rank
        with self._in_touch():
            if not dist.is_initialized():
                backend = "cpu:gloo,cuda:nccl" if common.device().type == "cuda" else "gloo"
                dist.init_process_group(backend, init_method=uid.decode() if isinstance(uid, bytes) else uid,
                                        rank=self.rank, world_size=self.count, timeout=TIMEOUT)
                atexit.register(_leave)
            _joined.append(self)
            processes = [None] * self.count
            dist.all_gather_object(processes, (socket.gethostname(), os.getpid()))
        self._processes = processes

    # ---- pycaffe's

    def bcast(self):
        """Give all processes the parameters of rank 0."""
        if self.count > 1:
            with self._in_touch(), torch.no_grad():
                for blob in self._solver.net.learnable_params:
                    weights = blob.mutable_tensor()
                    self._wait(dist.broadcast(weights, 0, async_op=True))
                    torch.autograd.graph.increment_version(weights)     # which broadcast leaves as it was

    def on_start(self):
        """An iteration begins."""
        self._works = []

    def __call__(self, layer):
        """Backward of layer number `layer` is done: send the buckets that are full, in an iteration's last pass."""
        if self._solver.in_last_pass:
            self._send(layer)

    def on_gradients_ready(self):
        """Return when all diffs are their mean over the processes."""
        self._send(0)
        for bucket, work in zip(self._buckets, self._works):
            with self._in_touch():
                self._wait(work)
            bucket.flat.div_(self.count)
            bucket.hand_back()

    def _send(self, layer):
        """Start the way of the buckets that backward will not write to any more, having come to `layer`."""
        while len(self._works) < len(self._buckets) and self._buckets[len(self._works)].ready >= layer:
            bucket = self._buckets[len(self._works)]
            bucket.collect()
            with self._in_touch():
                self._works.append(dist.all_reduce(bucket.flat, async_op=True))

    # ---- beyond pycaffe

    def mean(self, values):
        """The mean over the processes of each of some numbers, a list of the same length in each; waits for all."""
        if self.count == 1:
            return list(values)
        total = torch.tensor([float(value) for value in values] + [0.0], dtype=torch.float64)
        with self._in_touch():
            self._wait(dist.all_reduce(total, async_op=True))
        return (total[:-1] / self.count).tolist()

    def gather(self, item):
        """[item of each process] in rank 0, None in the others; items that pickle can write."""
        if self.count == 1:
            return [item]
        items = [None] * self.count if self.rank == 0 else None
        self.mean([])       # waits for all of them with an eye on each
        with self._in_touch():
            dist.gather_object(item, items)
        return items

    @contextmanager
    def root_first(self):
        """Within it rank 0 works alone; then the others do, and find the files that it made."""
        if self.rank:
            self.mean([])
        yield
        if not self.rank:
            self.mean([])

    # ---- when a process ends

    def _wait(self, work):
        """Return when `work` is done.  RuntimeError when it fails, or waits for a process that is no more.

        Looking is quicker than the closed connection, which only a neighbour notices (gloo) or nobody (nccl).
        """
        look, misses = time.monotonic() + LOOK_EVERY, 0
        while not work.is_completed():
            time.sleep(1e-4)
            if time.monotonic() > look:
                look, misses = look + LOOK_EVERY, misses + bool(self._gone())
                if misses > 3:      # not at once: what a process sent before it ended may still be on its way
                    raise RuntimeError("a process is no more")
        work.wait()

    @contextmanager
    def _in_touch(self):
        whole, self._torn = self._torn, True
        try:
            yield
        except RuntimeError as e:
            raise self._lost(e) from e
        self._torn = whole

    def _lost(self, error):
        """LostProcess that names the processes that are no more.

        The lowest rank that is left gets it first; the others, who must not be taken for lost, wait until it ends.
        """
        self._look_until(self._gone, SECONDS_TO_DIE)
        gone = self._gone()
        if not gone:
            return LostProcess("rank %d lost touch with the others of the %d processes of this run (%s)"
                               % (self.rank, self.count, " ".join(str(error).split())[:200]), [])
        loss = LostProcess("rank %s of the %d processes of this run ended or was killed"
                           % (" and ".join(map(str, gone)), self.count), gone)
        if loss.first_left != self.rank:
            self._look_until(lambda: loss.first_left in self._gone(), SECONDS_TO_REPORT)
        return loss

    @staticmethod
    def _look_until(condition, seconds):
        deadline = time.monotonic() + seconds
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.1)

    def _gone(self):
        """Ranks whose processes, on this machine, are no more."""
        return [rank for rank, (host, pid) in enumerate(self._processes)
                if host == socket.gethostname() and not _is_alive(pid)]


_joined: list["NCCL"] = []        # every NCCL of this process


def _leave():
    """At the end of the program: stop the threads of torch.distributed, which may abort one that is done otherwise.

    Not where something is still on its way to the others: they may never take it, and this would wait for them.
    """
    settled = all(not nccl._torn and all(work.is_completed() for work in nccl._works) for nccl in _joined)
    if settled and dist.is_initialized():
        dist.destroy_process_group()


def _is_alive(pid):
    """Whether a process runs; one that ended and whose parent did not ask yet does not."""
    try:
        os.kill(pid, 0)
        with open("/proc/%d/stat" % pid, encoding="utf-8") as f:
            return f.read().rpartition(")")[2].split()[0] not in "ZX"
    except PermissionError:
        return True
    except ProcessLookupError:
        return False
    except OSError:                             # no /proc: not Linux
        return True
