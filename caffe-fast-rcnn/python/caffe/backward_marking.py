"""Which layers run backward, and into which bottoms: decided once, from names and flags alone.

The rules are Caffe's (Net::Init): a layer needs backward when one of its bottoms does or one of its parameters learns;
a reverse walk then skips what does not end in a loss and what `propagate_down: false` cuts off.
"""
from dataclasses import dataclass, field


@dataclass
class Node:
    """One layer as the marking sees it."""

    bottoms: list                   # names
    tops: list                      # names
    bottom_needs: list              # for each bottom: is its diff wanted?
    needs: bool                     # does the layer run backward?
    has_loss: list                  # for each top: does it count into the objective?
    force_allowed: list = field(default_factory=list)   # for each bottom: may force_backward reach it?


def mark_backward(nodes, force=False):
    """Set `needs` and `bottom_needs` of each Node of the list (in forward order) in place."""
    under_loss, skipped = set(), set()
    for node in reversed(nodes):
        contributes = any(loss or top in under_loss for top, loss in zip(node.tops, node.has_loss))
        if node.needs and all(top in skipped for top in node.tops):
            node.needs, node.bottom_needs = False, [False] * len(node.bottoms)
        node.needs = node.needs and contributes
        for i, bottom in enumerate(node.bottoms):
            if contributes:
                under_loss.add(bottom)
            else:
                node.bottom_needs[i] = False
            if not node.bottom_needs[i]:
                skipped.add(bottom)
    if force:
        for node in nodes:
            node.needs = True
            node.bottom_needs = [a or b for a, b in zip(node.bottom_needs, node.force_allowed)]
