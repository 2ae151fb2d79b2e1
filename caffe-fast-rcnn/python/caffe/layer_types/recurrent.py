"""Recurrent layers: LSTM and RNN over sequences, and LSTMUnit, one step of an LSTM.

A batch holds N streams of T time steps, time first: x (T, N, ...).  cont (T, N) says where sequences begin: 0 at the
first step of a sequence, which forgets the state, and 1 at the steps that continue it.
"""
import torch

from .. import common
from ..filler import new_param
from ..layer import Layer, register


class _Step(torch.autograd.Function):
    """One step of an LSTM with Caffe's derivative: that of the forget gate takes cont for 0 or 1."""

    @staticmethod
    def forward(ctx, c_before, gates, cont):
        """c_before (N, D), gates (N, 4 D) in the order i, f, o, g, cont (N, 1) -> c, h (N, D)."""
        i, f, o, g = gates.chunk(4, 1)
        i, f, o, g = i.sigmoid(), cont * f.sigmoid(), o.sigmoid(), g.tanh()
        c = f * c_before + i * g
        squashed = c.tanh()
        ctx.save_for_backward(c_before, i, f, o, g, squashed)
        return c, o * squashed

    @staticmethod
    def backward(ctx, c_diff, h_diff):
        c_before, i, f, o, g, squashed = ctx.saved_tensors
        c_diff = c_diff + h_diff * o * (1 - squashed * squashed)
        gates_diff = torch.cat([c_diff * g * i * (1 - i), c_diff * c_before * f * (1 - f),
                                h_diff * squashed * o * (1 - o), c_diff * i * (1 - g * g)], 1)
        return c_diff * f, gates_diff, None


@register("LSTMUnit")
class LSTMUnit(Layer):
    """One time step of an LSTM: the cell and the hidden state from the cell before and the gates' inputs.

    layer { name: "unit" type: "LSTMUnit" bottom: "c_0" bottom: "gate_input" bottom: "cont" top: "c_1" top: "h_1" }

    bottoms: c_0 (1, N, D), gate_input (1, N, 4 D) with the gates in the order input, forget, output, candidate,
    cont (1, N); tops: c_1, h_1 (1, N, D)
    c_1 = cont sigmoid(f) c_0 + sigmoid(i) tanh(g);  h_1 = sigmoid(o) tanh(c_1)
    """

    bottoms, tops = (3, 3), (2, 2)

    def reshape(self, bottom, top):
        before, gates, cont = (blob.shape for blob in bottom)
        if len(before) != 3 or before[0] != 1 or gates != (1, before[1], 4 * before[2]) or cont != (1, before[1]):
            self.fail(f"bottoms of shapes {before}, {gates}, {cont}; expected (1, N, D), (1, N, 4 D), (1, N)")
        for blob in top:
            blob.reshape(*before)

    def function(self, before, gates, cont):
        c, h = _Step.apply(before[0], gates[0], cont[0, :, None])
        return c[None], h[None]

    def backward(self, top, propagate_down, bottom):
        if propagate_down[2]:
            self.fail("bottom 2 says where sequences begin and has no diff; give propagate_down: false for it")
        super().backward(top, propagate_down, bottom)

    def allow_force_backward(self, bottom_index):
        return bottom_index != 2


class _Recurrent(Layer):
    """What LSTM and RNN share.

    bottoms: x (T, N, ...), cont (T, N); a static input (N, ...) that every time step sees; with expose_hidden the
    states before the first step, (1, N, D) each
    tops: the output of every step (T, N, D); with expose_hidden the states after the last step, (1, N, D) each
    Without expose_hidden a pass begins with the states in which the last pass ended, as Caffe's.  A batch of more
    streams than the last begins with zeros.  As in Caffe, no diff flows through the states that are bottoms or tops.
    T may change from pass to pass, which Caffe refuses.
    """

    states = 1      # how many there are

    @property
    def _exposed(self):
        return self.states if self.layer_param.recurrent_param.expose_hidden else 0

    @property
    def bottoms(self):
        return 2 + self._exposed, 3 + self._exposed

    @property
    def tops(self):
        return 1 + self._exposed, 1 + self._exposed

    def setup(self, bottom, top):
        param = self.layer_param.recurrent_param
        self.num_output = param.num_output
        if self.num_output < 1:
            self.fail("recurrent_param.num_output must be at least 1")
        self.has_static = len(bottom) == 3 + self._exposed
        self._check_shapes(bottom)
        self._state = self._end = None
        inputs = [torch.Size(bottom[0].shape[2:]).numel()]
        if self.has_static:
            inputs.append(torch.Size(bottom[2].shape[1:]).numel())
        self.inputs = inputs
        self.blobs = [new_param(shape, param.weight_filler if len(shape) > 1 else param.bias_filler)
                      for shape in self.parameter_shapes(*inputs)]

    def parameter_shapes(self, inputs, static=None):
        """Shapes of the parameters; `inputs` and `static`: how many numbers a step of x and the static input have."""
        raise NotImplementedError

    def _check_shapes(self, bottom):
        x, cont = bottom[0].shape, bottom[1].shape
        if len(x) < 3 or cont != x[:2]:
            self.fail(f"bottoms 0 and 1 have shapes {x} and {cont}; expected (T, N, ...) and (T, N)")
        if self.has_static and (len(bottom[2].shape) < 2 or bottom[2].shape[0] != x[1]):
            self.fail(f"the static input has shape {bottom[2].shape}; expected ({x[1]}, ...) for x {x}")
        for blob in bottom[len(bottom) - self._exposed:]:
            if blob.shape != (1, x[1], self.num_output):
                self.fail(f"a state has shape {blob.shape}; expected (1, {x[1]}, {self.num_output})")

    def reshape(self, bottom, top):
        self._check_shapes(bottom)
        for blob, size in zip([bottom[0], bottom[2]] if self.has_static else [bottom[0]], self.inputs):
            first = 2 if blob is bottom[0] else 1
            if torch.Size(blob.shape[first:]).numel() != size:
                self.fail(f"bottom of shape {blob.shape}; the weights take {size} numbers from axis {first} on")
        steps, streams = bottom[1].shape
        top[0].reshape(steps, streams, self.num_output)
        for blob in top[1:]:
            blob.reshape(1, streams, self.num_output)

    def forward(self, bottom, top):
        if not self._exposed:
            self._state = self._last_state(bottom[0].shape[1])
        super().forward(bottom, top)

    def _last_state(self, streams):
        """[state of the first `streams` streams after the last pass]; zeros where there are fewer."""
        if self._end is None or self._end[0].shape[0] < streams:
            zeros = torch.zeros(streams, self.num_output, dtype=common.dtype(), device=common.device())
            return [zeros] * self.states
        return [state[:streams].to(common.device()) for state in self._end]

    def backward(self, top, propagate_down, bottom):
        if propagate_down[1]:
            self.fail("bottom 1 says where sequences begin and has no diff; give propagate_down: false for it")
        end = self._end
        super().backward(top, propagate_down, bottom)
        self._end = end         # which `function` sets where it is applied again

    def allow_force_backward(self, bottom_index):
        return bottom_index != 1

    def function(self, x, cont, *others):
        bottoms = others[:len(others) - len(self.blobs)]
        parameters = others[len(bottoms):]
        static = bottoms[0] if self.has_static else None
        state = [blob[0].detach() for blob in bottoms[-self._exposed:]] if self._exposed else self._state
        inputs = self._inputs(x, static, parameters)
        outputs = []
        for step_input, step_cont in zip(inputs, cont):
            output, state = self.step(step_input, step_cont[:, None], state, parameters)
            outputs.append(output)
        self._end = [s.detach() for s in state]
        return torch.stack(outputs), *(s[None] for s in self._end[:self._exposed])

    def _inputs(self, x, static, parameters):
        """What all steps take from x and the static input, (T, N, rows of the first weights)."""
        weight, bias = parameters[:2]
        inputs = torch.nn.functional.linear(x.flatten(2), weight, bias)
        if static is not None:
            inputs = inputs + static.flatten(1).mm(parameters[2].t())
        return inputs

    def step(self, inputs, cont, state, parameters):
        """(output (N, D), [states after the step]); inputs (N, ...), cont (N, 1), state: [before the step (N, D)]."""
        raise NotImplementedError


@register("LSTM")
class LSTM(_Recurrent):
    """Long short-term memory over sequences, as in Donahue et al., "Long-term Recurrent Convolutional Networks".

    layer { name: "lstm" type: "LSTM" bottom: "x" bottom: "cont" top: "h"
            recurrent_param { num_output: 256 weight_filler { type: "uniform" min: -0.08 max: 0.08 }
                              bias_filler { type: "constant" } expose_hidden: false } }

    bottoms: x (T, N, ...), cont (T, N), perhaps a static input (N, ...); expose_hidden: h_0, c_0 (1, N, D)
    tops: h (T, N, D); expose_hidden: h_T, c_T (1, N, D).  See _Recurrent for the states between passes.
    blobs: W_xc (4 D, I), b_c (4 D), with a static input W_xc_static (4 D, S), W_hc (4 D, D); gates i, f, o, g.
    """

    states = 2

    def parameter_shapes(self, inputs, static=None):
        gates = 4 * self.num_output
        middle = [] if static is None else [(gates, static)]
        return [(gates, inputs), (gates,), *middle, (gates, self.num_output)]

    def step(self, inputs, cont, state, parameters):
        h, c = state
        gates = torch.addmm(inputs, h * cont, parameters[-1].t())
        c, h = _Step.apply(c, gates, cont)
        return h, [h, c]


@register("RNN")
class RNN(_Recurrent):
    """A recurrent layer with one hidden state: h_t = tanh(W_hh h_(t-1) + W_xh x_t + b_h), o_t = tanh(W_ho h_t + b_o).

    layer { name: "rnn" type: "RNN" bottom: "x" bottom: "cont" top: "o"
            recurrent_param { num_output: 64 weight_filler { type: "xavier" } expose_hidden: false } }

    bottoms: x (T, N, ...), cont (T, N), perhaps a static input (N, ...); expose_hidden: h_0 (1, N, D)
    tops: o (T, N, D); expose_hidden: h_T (1, N, D).  See _Recurrent for the states between passes.
    blobs: W_xh (D, I), b_h (D), with a static input W_xh_static (D, S), W_hh (D, D), W_ho (D, D), b_o (D).
    """

    def parameter_shapes(self, inputs, static=None):
        size = self.num_output
        middle = [] if static is None else [(size, static)]
        return [(size, inputs), (size,), *middle, (size, size), (size, size), (size,)]

    def step(self, inputs, cont, state, parameters):
        recurrent, out, bias = parameters[-3:]
        h = torch.addmm(inputs, state[0] * cont, recurrent.t()).tanh()
        return torch.addmm(bias, h, out.t()).tanh(), [h]
