"""Labels and other numbers as indices, checked where that costs nothing."""
import torch

from ..common import on_gpu


def valid_labels(layer, labels, classes, ignore_label=None):
    """(labels as int64 with 0 in place of the bad ones, valid, poison).

    labels: floats, cut to whole numbers as Caffe cuts them
    valid: False where the label is ignore_label; None without ignore_label
    poison: what to add to the loss; 0, or nan on a GPU when a label is neither ignored nor in 0 .. classes - 1.  On the
    CPU such a label is a CaffeError; on a GPU looking at it would halt the queue, indexing with it kill the process.
    """
    labels = labels.long()
    valid = None if ignore_label is None else labels != ignore_label
    outside = (labels < 0) | (labels >= classes)
    if valid is not None:
        outside &= valid
    poison = 0
    if on_gpu(labels):
        poison = torch.where(outside.any(), float("nan"), 0.0)
    elif outside.any():
        layer.fail("label %d is outside 0 .. %d%s" % (labels[outside][0], classes - 1, "" if ignore_label is None else
                                                       " and not ignore_label %d" % ignore_label))
    good = ~outside if valid is None else valid & ~outside
    return torch.where(good, labels, 0), valid, poison


def rows_at(layer, table, index, message):
    """table[index] for a table (rows, ...) and indices of any shape, floats cut to whole numbers.

    An index outside the table is a CaffeError: `message` with the least and the largest index and the number of rows.
    On a GPU its rows are nan.
    """
    index = index.long()
    outside = (index < 0) | (index >= len(table))
    if on_gpu(table):
        found = table[torch.where(outside, 0, index)]
        return torch.where(outside.reshape(*index.shape, *[1] * (table.dim() - 1)), float("nan"), found)
    if outside.any():
        layer.fail(message % (index.min(), index.max(), len(table)))
    return table[index]
