"""Solver: the training loop and the update of the weights; pycaffe's solvers.

A solver knows a net's learnable parameters and their multipliers, nothing of the layers.
"""
import os
from collections import deque

import torch

from . import common
from .common import CaffeError, log
from .host_memory import Trimmer
from .kernels.update.fused import FusedUpdate
from .lr_policy import learning_rate
from .net import Net
from .parallel import NCCL
from .proto import caffe_pb2
from .solver_check import check_solver, count_test_nets
from .update_rules import HISTORY, RULES
from .util.files import as_message
from .util.hdf5_weights import is_hdf5, read_hdf5_state, write_hdf5_state
from .util.upgrade import upgrade_solver
from .util.weight_files import read_state, write_state

_UPDATE_BLOCK = 1 << 20         # numbers: weights, diff and history of so many take 12 MB in float32
NETS = ("net", "net_param", "train_net", "train_net_param")


def get_solver(solver_file):
    """The solver of a solver prototxt, of the class of the type it names: SGDSolver, AdamSolver, ..."""
    param = upgrade_solver(as_message(solver_file, caffe_pb2.SolverParameter))
    check_solver(param)
    return SOLVERS[param.type](param)


def _in_blocks(*tensors):
    """Tensors of one shape -> tuples of flat views that stay in a CPU's cache through all the steps of an update.

    Fully connected layers are far larger than it: fc6 of VGG16 takes half the time so.
    """
    if tensors[0].device.type != "cpu" or not all(t.is_contiguous() for t in tensors):
        return [tensors]
    return zip(*[t.view(-1).split(_UPDATE_BLOCK) for t in tensors])


class Solver:
    """net, test_nets, iter, lr, param (SolverParameter); step(n), solve(), snapshot(), restore(file).

    The base of all solvers; `get_solver` and the classes below make one.
    """

    type: str | None = None     # the prototxt's `type`, which a subclass stands for whatever its prototxt says

    def __init__(self, solver_file):
        self.param = upgrade_solver(as_message(solver_file, caffe_pb2.SolverParameter))
        self.param.type = self.type
        check_solver(self.param)
        if self.param.random_seed >= 0:
            common.set_random_seed(self.param.random_seed)
        self.iter, self._current_step, self._callbacks, self._nccl = 0, 0, [], None
        self._trimmer, self._fused = Trimmer(), FusedUpdate()
        self.in_last_pass = False       # of the iter_size passes of an iteration
        self.action_function = None     # asked after each iteration and test pass: None, "snapshot" or "stop"
        self._stopped = False
        self._losses = deque(maxlen=self.param.average_loss)
        self.net = Net(self._train_net_param(), phase=common.TRAIN, level=self.param.train_state.level,
                       stages=list(self.param.train_state.stage))
        self.test_nets = self._make_test_nets()
        for file in ",".join(self.param.weights).split(","):
            for net in [self.net, *self.test_nets] if file.strip() else []:
                net.copy_from(file.strip())
        self._history = [self._zeros() for _ in range(HISTORY.get(self.param.type, 1))]

    def _zeros(self):
        return [torch.zeros(b.shape, dtype=common.dtype(), device=common.device()) for b in self.net.learnable_params]

    def _train_net_param(self):
        given = [f for f in NETS if self.param.HasField(f)]
        if len(given) != 1:
            raise CaffeError("solver: give the train net by exactly one of %s (given: %s)"
                             % (", ".join(NETS), ", ".join(given) or "none"))
        return getattr(self.param, given[0])

    def _make_test_nets(self):
        p = self.param
        sources = list(p.test_net_param) + list(p.test_net)
        generic = p.net_param if p.HasField("net_param") else p.net
        sources += [generic] * (count_test_nets(p) - len(sources))
        states = list(p.test_state) or [caffe_pb2.NetState()] * len(sources)
        return [Net(source, phase=common.TEST, level=state.level, stages=list(state.stage))
                for source, state in zip(sources, states)]

    # ---- training

    def add_callback(self, on_start, on_gradients_ready=None):
        """Call on_start() before each iteration's first pass, on_gradients_ready() before the update.

        Or add_callback(nccl), a caffe.NCCL: the processes share their gradients, and the loss that is displayed.
        """
        if isinstance(on_start, NCCL):
            self._nccl = on_start
            on_start, on_gradients_ready = on_start.on_start, on_start.on_gradients_ready
        self._callbacks.append((on_start, on_gradients_ready))

    def solve(self, resume_file=None):
        """Train up to max_iter, with the snapshots, tests and log lines the prototxt asks for."""
        log("solver.cpp:279", "Solving %s" % self.net.name)
        log("solver.cpp:280", "Learning Rate Policy: %s" % self.param.lr_policy)
        if resume_file:
            self.restore(resume_file)
        self.step(self.param.max_iter - self.iter)
        written = self.param.snapshot and self.iter % self.param.snapshot == 0
        if self.param.snapshot_after_train and not written and not common.solver_rank():
            self.snapshot()
        if self._stopped:
            log("solver.cpp:295", "Optimization stopped early.")
            return
        if self._display:           # what the last update led to
            self._losses.append(self.net.forward_from_to())
            self._log_loss()
        if self.param.test_interval and self.iter % self.param.test_interval == 0:
            self._test_all()
        log("solver.cpp:321", "Optimization Done.")

    def step(self, iters):
        """Train `iters` iterations of iter_size passes each, fewer when `action_function` says "stop"."""
        self._stopped = False
        for _ in range(iters):
            self._test_if_due()
            if self._stopped:
                return
            self.net.clear_param_diffs()
            for on_start, _ready in self._callbacks:
                on_start()
            self._losses.append(self._forward_backward())
            if self._display:
                self._log_loss()
                log_outputs(self.net, "Train", "solver.cpp:244")
            for _start, on_gradients_ready in self._callbacks:
                if on_gradients_ready:
                    on_gradients_ready()
            self.apply_update()
            self.iter += 1
            asked = self._asked_action()
            due = self.param.snapshot and self.iter % self.param.snapshot == 0
            if (due or asked == "snapshot") and not common.solver_rank():
                self.snapshot()
            if self._stopped:
                return

    def _asked_action(self):
        action = self.action_function() if self.action_function else None
        self._stopped = self._stopped or action == "stop"
        return action

    @property
    def _display(self):
        return self.param.display and self.iter % self.param.display == 0

    def _forward_backward(self):
        loss = 0
        for number in range(self.param.iter_size):
            self.net.begin_pass()
            self._trimmer.trim_if_grown()
            loss = loss + self.net.forward_from_to()
            self.in_last_pass = number == self.param.iter_size - 1
            self.net.backward_from_to()
            self.in_last_pass = False
        return loss / self.param.iter_size

    def _log_loss(self):
        smoothed = float(sum(self._losses)) / len(self._losses)
        if self._nccl:
            smoothed, = self._nccl.mean([smoothed])
        log("solver.cpp:228", "Iteration %d, loss = %.6g" % (self.iter, smoothed))

    @property
    def lr(self):
        """The learning rate of the next update."""
        return learning_rate(self.param, self.iter, self._current_step)[0]

    def apply_update(self):
        """Turn the accumulated parameter diffs into an update of the weights; the diffs then hold the update."""
        rate, self._current_step = learning_rate(self.param, self.iter, self._current_step)
        if self._display:
            log("sgd_solver.cpp:106", "Iteration %d, lr = %.6g" % (self.iter, rate))
        # The mode may be another than it was.
        self._history = [[h.to(common.device()) for h in slot] for slot in self._history]
        with torch.no_grad():
            self._clip_gradients()
            self._update_all(rate)
        self.net.show_views()

    def _update_all(self, rate):
        """Update the parameters whose lr_mult is not 0, at the learning rate `rate`."""
        params = list(zip(self.net.learnable_params, self.net.param_multipliers))
        learning = [i for i, (_, (lr_mult, _)) in enumerate(params) if lr_mult]
        tensors = [(params[i][0].mutable_tensor(), params[i][0].mutable_diff_tensor(), *[h[i] for h in self._history])
                   for i in learning]
        multipliers = [params[i][1] for i in learning]
        if self._fused.fits(self.param, tensors):
            self._fused(self.param, rate, tensors, multipliers)
            return
        for row, (lr_mult, decay_mult) in zip(tensors, multipliers):
            for weights, grad, *parts in _in_blocks(*row):
                self._update_block(weights, grad, parts, rate * lr_mult, self.param.weight_decay * decay_mult)

    def _update_block(self, weights, grad, history, rate, decay):
        p = self.param
        if p.iter_size > 1:
            grad.div_(p.iter_size)
        if decay and p.regularization_type == "L2":
            grad.add_(weights, alpha=decay)
        elif decay:
            grad.add_(weights.sign(), alpha=decay)
        grad.copy_(RULES[p.type](p, rate, grad, history, self.iter))
        weights.sub_(grad)

    def _clip_gradients(self):
        limit = self.param.clip_gradients
        if limit < 0:
            return
        diffs = [b.mutable_diff_tensor() for b in self.net.learnable_params if b.has_diff]
        if not diffs:
            return
        norm = torch.stack([d.square().sum() for d in diffs]).sum().sqrt()
        scale = torch.where(norm > limit, limit / norm, torch.ones_like(norm))
        for diff in diffs:
            diff.mul_(scale)

    # ---- testing

    def _test_if_due(self):
        p = self.param
        if common.solver_rank():
            return
        if p.test_interval and self.iter % p.test_interval == 0 and (self.iter or p.test_initialization):
            self._test_all()

    def _test_all(self):
        for number, net in enumerate(self.test_nets):
            if not self._stopped:
                self._test(number, net)

    def _test(self, number, net):
        log("solver.cpp:336", "Iteration %d, Testing net (#%d)" % (self.iter, number))
        net.share_with(self.net)
        iters, sums = self.param.test_iter[number], {}
        for _ in range(iters):
            if not self._nccl and self._asked_action() == "snapshot":   # several processes ask together, in `step`
                self.snapshot()
            if self._stopped:
                log("solver.cpp:390", "Test interrupted.")
                return
            net.forward_from_to()
            for name in net.outputs:
                sums[name] = sums.get(name, 0) + net.blobs[name].tensor
        for name in sums:
            net.blobs[name].tensor = sums[name] / iters
        net.show_views()
        log_outputs(net, "Test", "solver.cpp:404")

    def share_weights(self, net):
        """Let `net` use the weights of the net that is trained, without copying them."""
        net.share_with(self.net)

    # ---- files

    def snapshot(self):
        """Write <snapshot_prefix>_iter_<N>.caffemodel and .solverstate; returns the solverstate's name.

        With snapshot_format HDF5 .caffemodel.h5 and .solverstate.h5.
        """
        stem = "%s_iter_%d" % (self.param.snapshot_prefix, self.iter)
        history = [h.cpu().numpy() for slot in self._history for h in slot]
        if self.param.snapshot_format == self.param.HDF5:
            return self._snapshot_to_hdf5(stem, history)
        log("solver.cpp:454", "Snapshotting to binary proto file %s.caffemodel" % stem)
        self.net.save(stem + ".caffemodel")
        write_state(stem + ".solverstate", self.iter, stem + ".caffemodel", history, self._current_step,
                    self._data_positions())
        log("sgd_solver.cpp:273", "Snapshotting solver state to binary proto file %s.solverstate" % stem)
        return stem + ".solverstate"

    def _snapshot_to_hdf5(self, stem, history):
        weights, state = stem + ".caffemodel.h5", stem + ".solverstate.h5"
        log("solver.cpp:464", "Snapshotting to HDF5 file %s" % weights)
        self.net.save_hdf5(weights, self.param.snapshot_diff)
        write_hdf5_state(state, self.iter, weights, history, self._current_step, self._data_positions())
        log("sgd_solver.cpp:281", "Snapshotting solver state to HDF5 file %s" % state)
        return state

    def restore(self, filename):
        """Continue from a solverstate: iteration, weights, history, random state and the data layers' positions."""
        filename = str(filename)
        iteration, learned_net, history, current_step, random_state, positions = (
            read_hdf5_state if is_hdf5(filename) else read_state)(filename)
        slots = [h for slot in self._history for h in slot]
        if len(history) != len(slots):
            raise CaffeError("%s: history of %d arrays, this solver has %d: it belongs to another net or solver type"
                             % (filename, len(history), len(slots)))
        for mine, stored in zip(slots, history):
            if mine.numel() != stored.size:
                raise CaffeError("%s: history of shape %s, the parameter is %s: it belongs to another net"
                                 % (filename, stored.shape, tuple(mine.shape)))
        if learned_net:
            self.net.copy_from(_weights_of_state(filename, learned_net))
        for mine, stored in zip(slots, history):
            mine.copy_(torch.from_numpy(stored.reshape(mine.shape).copy()))
        self.iter, self._current_step = iteration, current_step
        if random_state:
            common.set_random_state(random_state)
        for position in positions:
            self._set_data_position(*position)

    def _data_positions(self):
        """[(net, layer name, [whole numbers])]; net 0 is the train net, 1, 2, ... are the test nets."""
        found = [(number, name, layer.data_position()) for number, net in enumerate([self.net, *self.test_nets])
                 for name, layer in net.layer_dict.items()]
        return [position for position in found if position[2]]

    def _set_data_position(self, number, name, numbers):
        nets = [self.net, *self.test_nets]
        layer = nets[number].layer_dict.get(name) if number < len(nets) else None
        if layer is None or not layer.data_position():
            log("solver.cpp:479", "The state has a position for layer %s of %s, which is not a data layer with data" % (
                name, "test net #%d" % (number - 1) if number else "the train net"), "W")
            return
        layer.set_data_position(numbers)


def log_outputs(net, what, where):
    """One line for each number of each output blob, as Caffe's parsers read them."""
    number = 0
    for name in net.outputs:
        weight = net.loss_weight(name)
        for value in net.blobs[name].tensor.flatten().tolist():
            loss = " (* %g = %.6g loss)" % (weight, weight * value) if weight else ""
            log(where, "    %s net output #%d: %s = %.6g%s" % (what, number, name, value, loss))
            number += 1


def _weights_of_state(filename, learned_net):
    """Path of a state's weights: the file next to the state, which was written with it, even if both were moved.

    C++ Caffe takes learned_net as it stands, which after a copy are the weights of the original, as they are by now.
    """
    moved = os.path.join(os.path.dirname(filename), os.path.basename(learned_net))
    if not os.path.exists(moved):
        return learned_net
    if os.path.abspath(moved) != os.path.abspath(learned_net):
        log("solver.cpp:478", "Loading the weights from %s, next to the state; it names %s" % (moved, learned_net))
    return moved


class SGDSolver(Solver):
    """Stochastic gradient descent with momentum; as in pycaffe, the other solvers derive from it."""

    type = "SGD"


def _solver_class(type_name):
    return type(type_name + "Solver", (SGDSolver,), {"type": type_name, "__module__": __name__,
                                                     "__doc__": "A solver of type %s." % type_name})


NesterovSolver, AdaGradSolver, RMSPropSolver, AdaDeltaSolver, AdamSolver = (
    _solver_class(name) for name in ("Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"))
SOLVERS = {cls.type: cls for cls in (SGDSolver, NesterovSolver, AdaGradSolver, RMSPropSolver, AdaDeltaSolver,
                                     AdamSolver)}
