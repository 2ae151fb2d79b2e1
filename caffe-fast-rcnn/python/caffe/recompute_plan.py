"""Arrays that backward does not need are freed after the last layer that reads them, and computed again when read.

In training, half of the outputs of VGG16's convolutions are below the first layer that learns.  No layer reads them
again after the pass, but `net.blobs["conv1_1"].data` must be available after `forward`.  So the array is replaced by a
Recomputation, which runs the layers again on copies of their inputs.

This applies to arrays in nets of phase TRAIN that only layers without backward write and read, if all writers are
`repeatable`.  An array is kept if a user or a Python layer took a view of it, or if the copies need more memory than
the array.
"""
from . import common
from .recomputation import Recomputation


class RecomputePlan:
    """The plan of one net; Net calls it before and after each layer's forward."""

    def __init__(self, phase, layers, nodes, bottoms, tops):
        self._layers, self._nodes, self._bottoms, self._tops = layers, nodes, bottoms, tops
        self._writes, self._last = set(), {}        # layers to recompute; {layer: numbers of its bottoms that may go}
        self._roots = {}                            # {name of a blob: the blob whose array it shows}
        self._made = {}                             # {root: (Recomputation, version of the blob that it gives)}
        self._replaced = []                         # blobs that each pass makes again
        if phase == common.TRAIN and any(node.needs for node in nodes):
            self._plan()

    def _plan(self):
        """Add each array under the name of the blob that made it; Split's tops share the array of their bottom."""
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
        """Whether forward always makes a new array; data layers and users' layers may rely on the old one."""
        return bool(self._nodes[i].bottoms) and self._layers[i].layer_param.type != "Python"

    def begin_pass(self):
        """Free the arrays of the last pass that this pass will make again; called before a forward and backward pass.

        Each pass then begins with the same free memory.  Otherwise memory fragments: VGG16's training grew by a tenth
        within ten passes.  A loss's diff is kept, since it is the loss's weight.
        """
        self._made.clear()
        for blob in self._replaced:
            blob.release()
        for layer in self._layers:
            if layer.layer_param.type != "Python":
                layer.release()

    def recomputation(self, i):
        """The Recomputation of the top of layer i, made before its forward; None if the top must be kept."""
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
        """Called after layer i's forward with the result of `recomputation`."""
        if recomputation is not None:
            self._made[self._roots[self._nodes[i].tops[0]]] = recomputation, self._tops[i][0].version
        for k in self._last.get(i, ()):
            content = self._present(self._nodes[i].bottoms[k], self._bottoms[i][k])
            if content is not None:
                self._bottoms[i][k].put_off(content)

    def _present(self, name, blob):
        """The Recomputation of the blob's content; None if there is none, or if a user may have changed the blob."""
        content, version = self._made.get(self._roots[name], (None, None))
        return content if version == blob.version else None
