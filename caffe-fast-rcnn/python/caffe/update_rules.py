"""Update rules: from a parameter's gradient to its step, in place, as Caffe's solvers state them.

rule(p, rate, g, h, it) turns the gradient g (regularised, tensor of the parameter's shape) into the step that is
subtracted from the weights; p: SolverParameter, rate: learning rate of this parameter, h: its history tensors, it:
iteration from 0.  HISTORY says how many history tensors a rule keeps.
"""
import math


def sgd(p, rate, g, h, it):
    """h = momentum h + rate g; step h."""
    return h[0].mul_(p.momentum).add_(g, alpha=rate)


def nesterov(p, rate, g, h, it):
    """h' = momentum h + rate g; step (1 + momentum) h' - momentum h."""
    before = h[0].clone()
    h[0].mul_(p.momentum).add_(g, alpha=rate)
    return h[0] * (1 + p.momentum) - before * p.momentum


def adagrad(p, rate, g, h, it):
    """h = h + g^2; step rate g / (sqrt(h) + delta)."""
    h[0].addcmul_(g, g)
    return rate * g / (h[0].sqrt() + p.delta)


def rmsprop(p, rate, g, h, it):
    """h = rms_decay h + (1 - rms_decay) g^2; step rate g / (sqrt(h) + delta)."""
    h[0].mul_(p.rms_decay).addcmul_(g, g, value=1 - p.rms_decay)
    return rate * g / (h[0].sqrt() + p.delta)


def adadelta(p, rate, g, h, it):
    """Running means of g^2 and of the squared steps; step rate g sqrt((steps + delta) / (h + delta))."""
    h[0].mul_(p.momentum).addcmul_(g, g, value=1 - p.momentum)
    step = g * ((h[1] + p.delta) / (h[0] + p.delta)).sqrt()
    h[1].mul_(p.momentum).addcmul_(step, step, value=1 - p.momentum)
    return rate * step


def adam(p, rate, g, h, it):
    """Bias-corrected running means of g and g^2 (momentum, momentum2)."""
    h[0].mul_(p.momentum).add_(g, alpha=1 - p.momentum)
    h[1].mul_(p.momentum2).addcmul_(g, g, value=1 - p.momentum2)
    correction = math.sqrt(1 - p.momentum2 ** (it + 1)) / (1 - p.momentum ** (it + 1))
    return rate * correction * h[0] / (h[1].sqrt() + p.delta)


RULES = {"SGD": sgd, "Nesterov": nesterov, "AdaGrad": adagrad, "RMSProp": rmsprop, "AdaDelta": adadelta, "Adam": adam}
HISTORY = {"AdaDelta": 2, "Adam": 2}    # the others: 1
