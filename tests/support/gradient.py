"""Numerical gradient checker, after the idea of Caffe's GradientChecker: central differences against backward.

The objective is sum(w * top) with random weights w on every top, so one backward pass gives all analytic derivatives.
In float64 with step 1e-6 the numerical ones are good to about 1e-9 of the objective's size.
"""
import numpy as np
from caffe import TEST, common

from .one_layer import float64, make_layer


def check_gradient(text, bottoms, *, tops=1, phase=TEST, check=None, params=None, weights=None, kink=None,
                   kink_range=0.01, step=1e-6, threshold=1e-6, seed=1):
    """Assert that backward of the layer `text` (see make_layer) agrees with central differences at `bottoms`.

    check:     indices of the bottoms to differentiate; None: all that force_backward would reach
    params:    arrays that replace the filled parameters; every parameter that learns (lr_mult != 0) is checked
    weights:   for each top its weights in the objective, where random ones will not do (0: this top has no backward)
    kink:      no derivative where |bottom| is this number: elements nearer than kink_range are skipped
    threshold: largest allowed |numerical - analytic| / max(1, |numerical|)
    seed:      of the weights, and of the layer's own random numbers in every forward pass
    """
    with float64():
        layer, bottom, top = make_layer(text, bottoms, tops, phase)
        for blob, value in zip(layer.blobs, params or ()):
            blob.data[...] = value
        pass_ = _Pass(layer, bottom, top, weights, seed)
        if check is None:
            check = [i for i in range(len(bottom)) if layer.allow_force_backward(i)]
        learning = [i for i in range(len(layer.blobs)) if layer.learns(i)]
        pass_.backward([i in check for i in range(len(bottom))])
        blobs = [("bottom %d" % i, bottom[i], kink) for i in check]
        blobs += [("param %d" % i, layer.blobs[i], None) for i in learning]
        for name, blob, at in blobs:
            _compare(name, blob, pass_, at, kink_range, step, threshold)


class _Pass:
    """The objective as a function of what stands in the blobs."""

    def __init__(self, layer, bottom, top, weights, seed):
        self.layer, self.bottom, self.top, self.seed = layer, bottom, top, seed
        self.state = [p.data.copy() for p in layer.blobs]       # layers with running statistics move them
        self.moves = [not layer.learns(i) for i in range(len(layer.blobs))]
        self.forward()
        random = np.random.RandomState(seed)
        self.weights = [random.uniform(0.5, 1.5, t.shape) * random.choice([-1, 1], t.shape) for t in top]
        if weights is not None:
            self.weights = [np.broadcast_to(w, t.shape).astype(float) for w, t in zip(weights, top)]

    def forward(self):
        common.set_random_seed(self.seed)
        for blob, value, moves in zip(self.layer.blobs, self.state, self.moves):
            if moves:
                blob.data[...] = value
        self.layer.reshape(self.bottom, self.top)
        self.layer.forward(self.bottom, self.top)

    def objective(self):
        self.forward()
        return sum(float((w * t.data).sum()) for w, t in zip(self.weights, self.top))

    def backward(self, propagate_down):
        self.forward()
        for blob, w in zip(self.top, self.weights):
            blob.diff[...] = w
        for blob, wanted in zip(self.bottom, propagate_down):
            if wanted:
                blob.diff[...] = np.nan                         # backward must overwrite the bottoms' diffs ...
        for i, blob in enumerate(self.layer.blobs):
            blob.diff[...] = i + 1                              # ... and add to the parameters'
        self.layer.backward(self.top, propagate_down, self.bottom)
        for i, blob in enumerate(self.layer.blobs):
            blob.diff[...] -= i + 1


def _compare(name, blob, pass_, kink, kink_range, step, threshold):
    analytic = blob.diff.copy()
    assert np.isfinite(analytic).all(), "%s: backward left numbers that are not finite: %s" % (name, analytic)
    for index in np.ndindex(*blob.shape):
        value = blob.data[index]
        if kink is not None and abs(abs(value) - kink) < kink_range:
            continue
        sides = []
        for x in (value + step, value - step):
            blob.data[index] = x
            sides.append(pass_.objective())
        blob.data[index] = value
        numeric = (sides[0] - sides[1]) / (2 * step)
        error = abs(numeric - analytic[index]) / max(1, abs(numeric))
        assert error <= threshold, "%s%s = %g: numerical derivative %.9g, backward %.9g" % (
            name, list(index), value, numeric, analytic[index])
