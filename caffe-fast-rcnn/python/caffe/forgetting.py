"""What backward will not need is forgotten behind its last reader, and computed anew when somebody reads it.

Half of what VGG16's convolutions make in training lies below the first layer that learns.  Nothing looks at it once it
has gone through, yet `net.blobs["conv1_1"].data` must tell it after `forward`: so an array is given up with a recipe,
the layers that made it and copies of what they started from.  The answer is that of the pass, bit for bit, whatever was
written into inputs and weights since.

Forgotten are arrays, in nets of phase TRAIN, that only layers without backward write and read, the writers all
`repeatable`.  An array stays where a user or a Python layer took a view of it, and where the copies would take more
memory than it does.
"""
from . import common
from .blob import Blob


class Recipe:
    """How an array was computed: a chain of layers, the first into a new blob, the others in place."""

    def __init__(self, steps, copied):
        self._steps = steps         # [(layer, bottoms, parameters)]; a bottom is a tensor, a Recipe, or None: in place
        self.copied = copied        # numbers that are kept for it
        self._precision = common.precision()

    def __call__(self):
        """The array as a Blob."""
        now, out = common.precision(), None
        common.set_precision(self._precision)
        try:
            for layer, bottoms, params in self._steps:
                out = _run(layer, [out if b is None else _as_blob(b) for b in bottoms], params, out)
        finally:
            common.set_precision(now)
        return out

    def then(self, layer, bottoms, params):
        """The recipe of what `layer` makes of this array in place."""
        return Recipe([*self._steps, (layer, bottoms, params)], self.copied + _numbers(bottoms + params))


def _run(layer, bottom, params, in_place):
    """The top of `layer` over other bottoms and parameters than its own."""
    top, own = [in_place or Blob()], layer.blobs
    layer.blobs = [_as_blob(p) for p in params]
    try:
        layer.reshape(bottom, top)
        layer.forward(bottom, top)
    finally:
        layer.blobs = own
    return top[0]


def _as_blob(source):
    if isinstance(source, Recipe):
        return source()
    blob = Blob(*source.shape)
    blob.tensor = source
    return blob


def _numbers(sources):
    return sum(s.numel() for s in sources if s is not None and not isinstance(s, Recipe))


class Forgetting:
    """The forgetting of one net: asked before each layer's forward and told behind it."""

    def __init__(self, phase, layers, nodes, bottoms, tops):
        self._layers, self._nodes, self._bottoms, self._tops = layers, nodes, bottoms, tops
        self._writes, self._last = set(), {}        # layers with a recipe; {layer: numbers of its bottoms that may go}
        self._replaced = []                         # blobs that each pass makes anew
        if phase == common.TRAIN and any(node.needs for node in nodes):
            self._plan()

    def _plan(self):
        """Enters each array, under the name of the blob that made it: Split's tops show that of their bottom."""
        roots, writers, readers = {}, {}, {}        # blob -> array; array -> numbers of layers
        for i, (layer, node) in enumerate(zip(self._layers, self._nodes)):
            sources = [roots[name] for name in node.bottoms]
            written = []
            for k, top in enumerate(node.tops):
                in_place = layer.type == "Split" or top in node.bottoms[k:k + 1]
                roots[top] = sources[min(k, len(sources) - 1)] if in_place else top
                if layer.type != "Split":
                    writers.setdefault(roots[top], []).append(i)
                    written.append(roots[top])
            for root in set(sources).difference(written):
                readers.setdefault(root, []).append(i)
        for root, layers in writers.items():
            if all(self._gives_again(i) for i in layers):
                self._enter(root, roots, layers, readers.get(root, []))
        self._replaced = [blob for node, tops in zip(self._nodes, self._tops)
                          for name, blob, loss in zip(node.tops, tops, node.has_loss)
                          if not loss and all(self._replaces_top(i) for i in writers[roots[name]])]

    def _enter(self, root, roots, writers, readers):
        if readers and not any(self._nodes[i].needs for i in readers):
            last = max(readers)
            self._writes.update(writers)
            self._last.setdefault(last, []).extend(
                k for k, name in enumerate(self._nodes[last].bottoms) if roots[name] == root)

    def _gives_again(self, i):
        return self._layers[i].repeatable and not self._nodes[i].needs and len(self._nodes[i].tops) == 1

    def _replaces_top(self, i):
        """Whether forward makes a new array, whatever was there; data layers and users' may count on theirs."""
        return bool(self._nodes[i].bottoms) and self._layers[i].layer_param.type != "Python"

    def begin_pass(self):
        """Before a pass through all layers and back: give up what the last one made and this one makes anew.

        So each pass finds the same memory free.  Among the arrays of the last one ever more holes were left: VGG16's
        training grew by a tenth within ten passes.  A loss's diff stays, it is the loss's weight.
        """
        for blob in self._replaced:
            blob.release()
        for layer in self._layers:
            if layer.layer_param.type != "Python":
                layer.release()

    def recipe(self, i):
        """Before layer i's forward: how its top can be computed anew, None where it must stay."""
        if i not in self._writes:
            return None
        layer, top = self._layers[i], self._tops[i][0]
        in_place = [blob is top for blob in self._bottoms[i]]
        before = top.recipe if any(in_place) else Recipe([], 0)
        if before is None:
            return None
        most, sources = top.count - sum(blob.count for blob in layer.blobs), []
        for blob, same in zip(self._bottoms[i], in_place):
            source = None if same else blob.recipe
            if source is None and not same:
                most -= blob.count
                source = blob.tensor.clone() if most > 0 else None
            sources.append(source)
        if most <= before.copied:
            return None
        return before.then(layer, sources, [blob.tensor.clone() for blob in layer.blobs])

    def done(self, i, recipe):
        """Behind layer i's forward, with what `recipe` gave before it."""
        if recipe is not None:
            self._tops[i][0].recipe = recipe
        for k in self._last.get(i, ()):
            self._bottoms[i][k].forget()
