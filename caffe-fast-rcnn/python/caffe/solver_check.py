"""Checks the settings of a solver when it is created, not in the middle of a training.

Refused is what C++ Caffe aborts on, and what it accepts and then computes nan from, or nothing.
"""
import math
import os

from .common import CaffeError, solver_rank
from .lr_policy import learning_rate
from .update_rules import RULES

# Rules: (field, what is expected, predicate).
_FINITE = [(field, "a finite number", math.isfinite)
           for field in ("base_lr", "weight_decay", "gamma", "power", "momentum", "momentum2", "rms_decay", "delta")]
_ALWAYS = _FINITE + [
    ("clip_gradients", "a number; negative: gradients are not clipped", lambda v: not math.isnan(v)),
    ("iter_size", "1 or more", lambda v: v >= 1),
    ("average_loss", "1 or more", lambda v: v >= 1),
    ("regularization_type", "L1 or L2", lambda v: v in ("L1", "L2")),
]
_FALLING = ("gamma", "0 or more", lambda v: v >= 0)
_STEP = ("stepsize", "1 or more", lambda v: v >= 1)
_OF_POLICY = {
    "step": [_FALLING, _STEP],
    "exp": [_FALLING],
    "inv": [_FALLING],
    "multistep": [_FALLING, ("stepvalue", "iterations in rising order",
                             lambda v: list(v) == sorted(v) and min(v, default=0) >= 0)],
    "poly": [("max_iter", "1 or more, the iteration at which the rate is 0", lambda v: v >= 1)],
    "sigmoid": [_STEP],     # with a negative gamma the rate falls
}
_CONVERGING = ("momentum", "-1 to 1", lambda v: -1 <= v <= 1)
_NO_MOMENTUM = ("momentum", "0: this type has none", lambda v: v == 0)
_DELTA = ("delta", "0 or more", lambda v: v >= 0)
_OF_TYPE = {
    "SGD": [_CONVERGING],
    "Nesterov": [_CONVERGING],
    "AdaGrad": [_NO_MOMENTUM, _DELTA],
    "RMSProp": [_NO_MOMENTUM, ("rms_decay", "0 or more and below 1", lambda v: 0 <= v < 1), _DELTA],
    "AdaDelta": [("momentum", "0 to 1", lambda v: 0 <= v <= 1), ("delta", "more than 0", lambda v: v > 0)],
    "Adam": [("momentum", "between -1 and 1", lambda v: -1 < v < 1),
             ("momentum2", "0 or more and below 1", lambda v: 0 <= v < 1), _DELTA],
}


def check_solver(p):
    """Raise CaffeError for the first invalid setting of a SolverParameter."""
    if p.type not in RULES:
        raise CaffeError("solver: type %r is unknown; known: %s" % (p.type, ", ".join(RULES)))
    for rules, of in ((_ALWAYS, ""), (_OF_POLICY.get(p.lr_policy, ()), " with lr_policy %s" % p.lr_policy),
                      (_OF_TYPE[p.type], " with type %s" % p.type)):
        for field, expected, holds in rules:
            if not holds(getattr(p, field)):
                raise CaffeError("solver: %s is %s%s; expected %s" % (field, _text(p, field), of, expected))
    learning_rate(p, 0)
    _check_tests(p)
    _check_snapshots(p)


def _text(p, field):
    value = getattr(p, field)
    if isinstance(value, str):
        return repr(value)
    if isinstance(value, (int, float)):
        return "%g" % value + ("" if p.HasField(field) else " (not given)")
    return list(value)


def _check_tests(p):
    nets, tests = count_test_nets(p), len(p.test_iter)
    if tests != nets:
        raise CaffeError("solver: %d test_iter for %d test nets; give one for each" % (tests, nets))
    if nets and p.test_interval < 1:
        raise CaffeError("solver: test_interval is %d; expected 1 or more, for the %d test nets"
                         % (p.test_interval, nets))
    if len(p.test_state) not in (0, nets):
        raise CaffeError("solver: %d test_state for %d test nets; give none, or one for each"
                         % (len(p.test_state), nets))


def count_test_nets(p):
    """The number of test nets: those named, and one for each further test_iter if `net` is used for both phases."""
    named = len(p.test_net_param) + len(p.test_net)
    serves_both = p.HasField("net") or p.HasField("net_param")
    return max(named, len(p.test_iter)) if serves_both else named


def _check_snapshots(p):
    folder = os.path.dirname(p.snapshot_prefix) or "."
    if p.snapshot and not solver_rank() and not (os.path.isdir(folder) and os.access(folder, os.W_OK)):
        raise CaffeError("solver: snapshot_prefix is %r, but %s is not a folder that can be written; make it or "
                         "change snapshot_prefix" % (p.snapshot_prefix, folder))
