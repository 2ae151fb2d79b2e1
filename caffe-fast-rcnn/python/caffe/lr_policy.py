"""Learning rate policies: the rate of iteration `it`, from SolverParameter's settings."""
import math

from .common import CaffeError


def learning_rate(p, it, current_step=0):
    """(rate, current_step) at iteration `it`; current_step counts the stepvalues passed (multistep only)."""
    if p.lr_policy not in _POLICIES:
        raise CaffeError("solver: lr_policy %r is unknown; known: %s" % (p.lr_policy, ", ".join(sorted(_POLICIES))))
    if p.lr_policy == "multistep":
        while current_step < len(p.stepvalue) and it >= p.stepvalue[current_step]:
            current_step += 1
    if p.lr_policy == "poly" and p.power and it > p.max_iter:
        raise CaffeError("solver: lr_policy poly with power %g has no rate after max_iter %d; raise max_iter"
                         % (p.power, p.max_iter))
    try:
        rate = _POLICIES[p.lr_policy](p, it, current_step)
    except ArithmeticError:
        rate = math.inf
    if not math.isfinite(rate):
        raise CaffeError("solver: lr_policy %s has no finite rate at iteration %d (base_lr %g, gamma %g, power %g)"
                         % (p.lr_policy, it, p.base_lr, p.gamma, p.power))
    return rate, current_step


def _sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0      # where exp would be too large


_POLICIES = {
    "fixed": lambda p, it, step: p.base_lr,
    "step": lambda p, it, step: p.base_lr * p.gamma ** (it // p.stepsize),
    "exp": lambda p, it, step: p.base_lr * p.gamma ** it,
    "inv": lambda p, it, step: p.base_lr * (1 + p.gamma * it) ** -p.power,
    "multistep": lambda p, it, step: p.base_lr * p.gamma ** step,
    "poly": lambda p, it, step: p.base_lr * (1 - it / p.max_iter) ** p.power,
    "sigmoid": lambda p, it, step: p.base_lr * _sigmoid(p.gamma * (it - p.stepsize)),
}
