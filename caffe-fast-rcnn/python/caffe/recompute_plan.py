"""What backward will not need is given up after its last reader, and computed again when it is read.

Half of what VGG16's convolutions make in training lies below the first layer that learns.  Nothing looks at it once it
has gone through, yet `net.blobs["conv1_1"].data` must tell it after `forward`: so the array is put off, to a
Recomputation of the layers that made it from copies of what they started from.

Put off are arrays, in nets of phase TRAIN, that only layers without backward write and read, the writers all
`repeatable`.  An array stays where a user or a Python layer took a view of it, and where the copies would take more
memory than it does.
"""
from . import common
from .recomputation import Recomputation


class RecomputePlan:
    """The plan of one net: asked before each layer's forward and told after it."""

    def __init__(self, phase, layers, nodes, bottoms, tops):
        self._layers, self._nodes, self._bottoms, self._tops = layers, nodes, bottoms, tops
        self._writes, self._last = set(), {}        # layers to recompute; {layer: numbers of its bottoms that may go}
        self._roots = {}                            # {name of a blob: the blob whose array it shows}
        self._made = {}                             # {root: (Recomputation, version of the blob that it gives)}
        self._replaced = []                         # blobs that each pass makes again
        if phase == common.TRAIN and any(node.needs for node in nodes):
            self._plan()

    def _plan(self):
        """Enters each array, under the name of the blob that made it: Split's tops show that of their bottom."""
        roots, writers, readers = self._roots, {}, {}       # writers, readers: {root: numbers of layers}
        for i, (layer, node) in enumerate(zip(self._layers, self._nodes)):
            sources = [roots[name] for name in node.bottoms]
            written = []
            for k, top in enumerate(node.tops):
                in_place = layer.shares_data or top in node.bottoms[k:k + 1]
                roots[top] = sources[min(k, len(sources) - 1)] if in_place else top
                if not layer.shares_data:
                    writers.setdefault(roots[top], []).append(i)
                    written.append(roots[top])
            for root in set(sources).difference(written):
                readers.setdefault(root, []).append(i)
        for root, layers in writers.items():
            if all(self._gives_again(i) for i in layers):
                self._enter(root, layers, readers.get(root, []))
        self._replaced = [blob for node, tops in zip(self._nodes, self._tops)
                          for name, blob, loss in zip(node.tops, tops, node.has_loss)
                          if not loss and all(self._replaces_top(i) for i in writers[roots[name]])]

    def _enter(self, root, writers, readers):
        if readers and not any(self._nodes[i].needs for i in readers):
            last = max(readers)
            self._writes.update(writers)
            self._last.setdefault(last, []).extend(
                k for k, name in enumerate(self._nodes[last].bottoms) if self._roots[name] == root)

    def _gives_again(self, i):
        return self._layers[i].repeatable and not self._nodes[i].needs and len(self._nodes[i].tops) == 1

    def _replaces_top(self, i):
        """Whether forward makes a new array, whatever was there; data layers and users' may count on theirs."""
        return bool(self._nodes[i].bottoms) and self._layers[i].layer_param.type != "Python"

    def begin_pass(self):
        """Before a pass through all layers and back: give up what the last one made and this one makes again.

        So each pass finds the same memory free.  Among the arrays of the last one ever more holes were left: VGG16's
        training grew by a tenth within ten passes.  A loss's diff stays, it is the loss's weight.
        """
        self._made.clear()
        for blob in self._replaced:
            blob.release()
        for layer in self._layers:
            if layer.layer_param.type != "Python":
                layer.release()

    def recomputation(self, i):
        """Before layer i's forward: what can compute its top again; None where the top must stay."""
        if i not in self._writes or self._tops[i][0].held:
            return None
        layer, node, top = self._layers[i], self._nodes[i], self._tops[i][0]
        in_place = top in self._bottoms[i]
        before = self._present(node.tops[0], top) if in_place else Recomputation(top.shape)
        if before is None:
            return None
        most, sources = top.count - sum(blob.count for blob in layer.blobs), []
        for name, blob in zip(node.bottoms, self._bottoms[i]):
            source = None if blob is top else self._present(name, blob)
            if source is None and blob is not top:
                most -= blob.count
                source = blob.tensor.clone() if most > 0 else None
            sources.append(source)
        if most <= before.copied:
            return None
        return before.then(layer, sources, [blob.tensor.clone() for blob in layer.blobs])

    def done(self, i, recomputation):
        """After layer i's forward, with what `recomputation` gave before it."""
        if recomputation is not None:
            self._made[self._roots[self._nodes[i].tops[0]]] = recomputation, self._tops[i][0].version
        for k in self._last.get(i, ()):
            content = self._present(self._nodes[i].bottoms[k], self._bottoms[i][k])
            if content is not None:
                self._bottoms[i][k].put_off(content)

    def _present(self, name, blob):
        """The Recomputation of what the blob holds; None where there is none, or a user may have written since."""
        content, version = self._made.get(self._roots[name], (None, None))
        return content if version == blob.version else None
