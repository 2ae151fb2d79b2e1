"""One OHEM training step of a net of this project on made-up blobs, the same on every device."""
import caffe
import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import text_format

CLASSES = 21


def ohem_step(train_prototxt, height, width, rois):
    """Losses, hard RoIs and what the step adds to each parameter, of the net of a train.prototxt (a pathlib.Path).

    The nets' dropout is left out, as devices draw other numbers.
    """
    blobs = _minibatch(height, width, rois)
    solver = caffe.SGDSolver(_solver_param(train_prototxt, blobs))
    net = solver.net
    for name, array in blobs.items():
        net.blobs[name].data[...] = array
    random = np.random.default_rng(1)
    for blob in net.learnable_params:
        fan_in = max(1, blob.count // blob.shape[0])
        scale = (2 / fan_in) ** 0.5 if len(blob.shape) > 1 else 0.01
        blob.data[...] = scale * random.standard_normal(blob.shape, dtype=np.float32)
    before = [blob.data.copy() for blob in net.learnable_params]
    mining_layer = next(layer for layer in net.layers if hasattr(layer, "mined"))
    mining_layer.mined = []
    solver.step(1)
    changes = [blob.data - old for blob, old in zip(net.learnable_params, before)]
    return {"losses": {name: float(net.blobs[name].data) for name in ("loss_cls", "loss_bbox")},
            "rois_hard": net.blobs["rois_hard"].data.copy(), "changes": changes,
            "hard_inds": mining_layer.mined[0].hard_inds, "roi_losses": mining_layer.mined[0].loss}


def assert_same_step(got, want, tolerance=1e-3):
    """All RoIs have the same losses, the same are mined, and the parameters change alike.

    Each loss agrees to 1e-4; each parameter's change to `tolerance` in the Euclidean norm, as single numbers depend on
    maxima and signs near zero, which devices round to either side.  Two RoIs whose losses agree to 1e-4 may be mined
    one for the other; the gradient is then another one, and the changes are not compared.
    """
    np.testing.assert_allclose(got["roi_losses"], want["roi_losses"], rtol=1e-4, atol=1e-6)
    only_got, only_want = (np.setdiff1d(a["hard_inds"], b["hard_inds"]) for a, b in ((got, want), (want, got)))
    one_for_the_other = [np.sort(want["roi_losses"][inds]) for inds in (only_got, only_want)]
    np.testing.assert_allclose(*one_for_the_other, rtol=1e-4)
    for name, value in want["losses"].items():
        np.testing.assert_allclose(got["losses"][name], value, rtol=1e-4)
    assert sum(bool(change.any()) for change in want["changes"]) >= 8
    errors = [np.linalg.norm(change - expected) / max(np.linalg.norm(expected), 1e-30)
              for change, expected in zip(got["changes"], want["changes"], strict=True)]
    assert np.isfinite(errors).all()
    if not len(only_got):
        assert max(errors) <= tolerance, "errors of the changes, parameter by parameter: %s" % np.round(errors, 6)


def _solver_param(train_prototxt, blobs):
    net = text_format.Parse(train_prototxt.read_text(), caffe_pb2.NetParameter())
    layers = [layer for layer in net.layer if layer.name != "data" and layer.type != "Dropout"]
    del net.layer[:]
    for name, blob in blobs.items():
        net.layer.add(name=name, type="Input", top=[name]).input_param.shape.add(dim=blob.shape)
    net.layer.extend(layers)
    return caffe_pb2.SolverParameter(net_param=net, base_lr=0.001, lr_policy="fixed", momentum=0.9, weight_decay=0.0005)


def _minibatch(height, width, rois):
    """An image of noise, boxes in it, every tenth of a class."""
    random = np.random.default_rng(0)
    size = np.array([width, height])
    start = random.uniform(0, 0.7, (rois, 2)) * size
    end = np.minimum(start + random.uniform(16, 0.3 * size.max(), (rois, 2)), size - 1)
    labels = np.where(np.arange(rois) % 10 == 0, random.integers(1, CLASSES, rois), 0)
    targets, weights = np.zeros((rois, 4 * CLASSES), np.float32), np.zeros((rois, 4 * CLASSES), np.float32)
    for row in np.flatnonzero(labels):
        columns = slice(4 * labels[row], 4 * labels[row] + 4)
        targets[row, columns], weights[row, columns] = random.normal(size=4), 1
    return {"data": random.standard_normal((1, 3, height, width), dtype=np.float32),
            "rois": np.column_stack([np.zeros(rois), start, end]).astype(np.float32), "labels": labels.astype(np.float32),
            "bbox_targets": targets, "bbox_inside_weights": weights, "bbox_outside_weights": weights.copy()}
