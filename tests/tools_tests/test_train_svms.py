"""tools/train_svms.py from outside, then test_net.py with TEST.SVM; and the mining rule in the small."""
import re
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse
from caffe.proto import caffe_pb2
from support.weights import write_random_weights
from training import svm


@pytest.fixture
def train_svms(run, prototxt, weights, voc_folder):
    def call(**changed):
        flags = {"gpu": "cpu", "def": prototxt, "net": weights, "imdb": "voc:%s@trainval" % voc_folder, **changed}
        args = [part for flag, value in flags.items() for part in ("--" + flag, value)]
        return run("train_svms.py", *args, "--set", "TEST.SCALES", "[90]")
    return call


def params(path):
    """{layer: [arrays]} of a caffemodel."""
    net = caffe_pb2.NetParameter.FromString(path.read_bytes())
    return {layer.name: [np.array(b.data, np.float32).reshape(b.shape.dim) for b in layer.blobs] for layer in net.layer}


def test_from_softmax_to_svms_to_average_precision(train_svms, run, prototxt, weights, voc_folder, exp_dir, tmp_path):
    result = train_svms()
    assert result.returncode == 0, result.stdout + result.stderr
    # 3 images with an object of each class, mirrored too
    for name in ("ball", "cup"):
        assert re.search(r"^%s: 6 positives, \d+ of them above 0; [1-9]\d* hard negatives" % name, result.stdout, re.M)
    before, after = params(weights), params(tmp_path / "net_svm.caffemodel")
    assert set(before) == set(after)
    for name in set(before) - {"cls_score"}:
        for old, new in zip(before[name], after[name]):
            np.testing.assert_array_equal(old, new)
    scores, bias = after["cls_score"]
    assert not scores[0].any() and bias[0] == 0                 # the background has no SVM
    assert scores[1].any() and scores[2].any() and not np.allclose(scores[1], before["cls_score"][0][1])
    tested = run("test_net.py", "--gpu", "cpu", "--def", prototxt, "--net", tmp_path / "net_svm.caffemodel", "--imdb",
                 "voc:%s@test" % voc_folder, "--det_thresh", "-1", "--set", "EXP_DIR", exp_dir, "TEST.SCALES", "[90]",
                 "TEST.SVM", "True")
    assert tested.returncode == 0 and "Mean AP" in tested.stdout, tested.stdout + tested.stderr
    assert train_svms().returncode == 0                         # the seed decides all
    np.testing.assert_array_equal(params(tmp_path / "net_svm.caffemodel")["cls_score"][0], scores)


class BlobOnGPU:
    """A Blob in GPU mode: what is written into `data` counts if `data` was asked for after the last forward pass."""

    def __init__(self, array):
        self._device, self._host, self._host_is_newer = array, array.copy(), False

    @property
    def data(self):
        self._host_is_newer = True
        return self._host

    def tensor(self):
        if self._host_is_newer:
            self._device, self._host_is_newer = self._host.copy(), False
        return self._device


def test_on_a_gpu_too_the_net_scores_by_the_svms(monkeypatch):
    rng = np.random.default_rng(0)
    features = np.vstack([rng.normal(5, 1, (4, 8)), rng.normal(-5, 1, (20, 8))]).astype(np.float32)
    overlaps = np.zeros((24, 2), np.float32)
    overlaps[:4, 1] = 1
    entry = {"boxes": np.arange(96).reshape(24, 4), "gt_classes": np.repeat([1, 0], [4, 20]), "flipped": False,
             "gt_overlaps": scipy.sparse.csr_matrix(overlaps)}
    imdb = SimpleNamespace(name="things", classes=("__background__", "cup"), num_classes=2, num_images=1, roidb=[entry],
                           image_path_at=str)
    weights, bias = BlobOnGPU(rng.normal(size=(2, 8)).astype(np.float32)), BlobOnGPU(np.ones(2, np.float32))
    net = SimpleNamespace(name="net", blobs={"fc7": SimpleNamespace()}, params={"cls_score": [weights, bias]})

    def im_detect(net, im, boxes, columns):
        net.blobs["fc7"].data = features[boxes[:, 0] // 4]
        return net.blobs["fc7"].data @ weights.tensor().T + bias.tensor(), None

    monkeypatch.setattr(svm, "read_image", lambda path: np.zeros((2, 2, 3), np.uint8))
    monkeypatch.setattr(svm, "im_detect", im_detect)
    svm.SVMTrainer(net, imdb).train()
    assert not weights.tensor()[0].any() and bias.tensor()[0] == 0
    scores = features @ weights.tensor()[1] + bias.tensor()[1]
    assert (scores[:4] > 0).all() and (scores[4:] < 0).all()


def test_svm_separates_and_forgets_easy_negatives():
    rng = np.random.default_rng(0)
    trainer = svm.SVMClassTrainer("cup", 0.5)
    trainer.pos = [rng.normal(20, 1, (30, 4)).astype(np.float32)]
    near, far = rng.normal(5, 1, (200, 4)), rng.normal(-40, 1, (300, 4))
    assert not trainer.append_neg(near.astype(np.float32)) and not trainer.append_neg(far.astype(np.float32))
    weights, bias = trainer.train()
    # for features as they are, not as scaled
    assert (trainer.pos[0] @ weights + bias > 0).mean() > 0.95 and (near @ weights + bias < 0).mean() > 0.95
    kept = np.vstack(trainer.neg)
    assert len(kept) <= 200 and (kept @ weights + bias >= svm.EVICT_THRESH - 1e-4).all()
    assert trainer.append_neg(np.zeros((svm.RETRAIN_AFTER + 1, 4), np.float32))


def test_class_without_objects(train_svms, voc_folder, prototxt, weights):
    write_random_weights(prototxt, weights, num_classes=4)
    (voc_folder / "classes.txt").write_text("ball\ncup\nspoon\n")
    result = train_svms()
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "no object of class spoon" in result.stderr.splitlines()[-1], result.stderr


def test_net_without_fc7(train_svms, prototxt):
    text = prototxt.read_text()
    prototxt.write_text(text.replace('"fc7"', '"hidden"'))
    result = train_svms()
    assert result.returncode == 1 and "fc7" in result.stderr.splitlines()[-1], result.stderr


