"""Whole jobs by Caffe's commands, on data layers: LeNet on digits, logistic regression, a Siamese net, features.

About ten seconds of CPU time.
"""
import caffe
import h5py
import lmdb
import numpy as np
import pytest
import torch
from caffe import layers as L
from caffe import params as P
from caffe.proto import caffe_pb2
from PIL import Image
from sklearn.datasets import load_digits, make_classification
from sklearn.linear_model import LogisticRegression
from support.recorded_data import write_lmdb

SOLVER = """train_net: "%(name)s_train.prototxt" test_net: "%(name)s_test.prototxt" test_iter: %(test_iter)d test_interval: %(iterations)d
base_lr: %(rate)g momentum: 0.9 weight_decay: %(decay)g lr_policy: "inv" gamma: 0.0001 power: 0.75 max_iter: %(iterations)d display: 50
snapshot_prefix: "%(name)s" random_seed: 1 """
XAVIER = {"type": "xavier"}
TRAINED = 1500          # of 1797 digits; the other 297 are for tests
DIGITS = load_digits()
ORDER = np.random.default_rng(0).permutation(len(DIGITS.target))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty current folder; one thread, which small nets run fastest on."""
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def run_well(run_caffe, *arguments):
    """The log of a command that succeeds."""
    code, _, err = run_caffe(*arguments)
    assert code == 0, err
    return err


def train(run_caffe, name, nets, **settings):
    """`caffe train` with nets for TRAIN and TEST; returns the numbers of the last test, {name: value}."""
    for phase, net in zip(("train", "test"), nets):
        write("%s_%s.prototxt" % (name, phase), str(net))
    write(name + "_solver.prototxt", SOLVER % dict(settings, name=name))
    log = run_well(run_caffe, "train", "-solver", name + "_solver.prototxt")
    outputs = [line.split(": ", 1)[1].split(" = ") for line in log.splitlines() if "Test net output #" in line]
    return {output: float(value.split()[0]) for output, value, *_ in outputs}


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def records(path):
    """[(key, Datum)] by the package lmdb itself."""
    with lmdb.open(path, readonly=True) as env, env.begin() as transaction:
        return [(key.decode(), caffe_pb2.Datum.FromString(value)) for key, value in transaction.cursor()]


# ---- LeNet

def digits_lmdbs(run_caffe):
    """train_lmdb and test_lmdb of 16 x 16 digits, by convert_imageset from PNGs of 8 x 8; the mean, by compute_image_mean."""
    lists = {"train": "", "test": ""}
    for number, index in enumerate(ORDER):
        Image.fromarray((DIGITS.images[index] * 15.9).astype(np.uint8)).save("%d.png" % number)
        lists["train" if number < TRAINED else "test"] += "%d.png %d\n" % (number, DIGITS.target[index])
    for part, lines in lists.items():
        write(part + ".txt", lines)
        run_well(run_caffe, "convert_imageset", "-gray", "-resize_height=16", "-resize_width=16", "./", part + ".txt", part + "_lmdb")
    run_well(run_caffe, "compute_image_mean", "train_lmdb", "mean.binaryproto")


def features(n, data, suffix="", shared=False):
    """LeNet up to its first fully connected layer, whose top it returns; shared: the parameters have names."""
    def settings(layer):
        names = [dict(name=layer + "_w"), dict(name=layer + "_b")] if shared else [{}, {}]
        return dict(weight_filler=XAVIER, param=[names[0], dict(names[1], lr_mult=2)])
    n["conv1" + suffix] = top = L.Convolution(data, kernel_size=5, num_output=20, **settings("conv1"))
    n["pool1" + suffix] = top = L.Pooling(top, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n["conv2" + suffix] = top = L.Convolution(top, kernel_size=5, num_output=50, **settings("conv2"))
    n["pool2" + suffix] = top = L.Pooling(top, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n["ip1" + suffix] = top = L.InnerProduct(top, num_output=500, **settings("ip1"))
    n["relu1" + suffix] = L.ReLU(top, in_place=True)
    return top


def lenet(source, batch_size):
    n = caffe.NetSpec()
    n.data, n.label = L.Data(source=source, batch_size=batch_size, backend=P.Data.LMDB, ntop=2,
                             transform_param=dict(scale=1 / 128, mean_file="mean.binaryproto"))
    n.score = L.InnerProduct(features(n, n.data), num_output=10, weight_filler=XAVIER)
    n.accuracy = L.Accuracy(n.score, n.label)
    n.loss = L.SoftmaxWithLoss(n.score, n.label)
    return n.to_proto()


def test_lenet_learns_digits_and_gives_features(run_caffe):
    digits_lmdbs(run_caffe)
    nets = lenet("train_lmdb", 50), lenet("test_lmdb", 99)
    tested = train(run_caffe, "lenet", nets, test_iter=3, iterations=150, rate=0.01, decay=0.0005)
    assert tested["accuracy"] > 0.97
    log = run_well(run_caffe, "test", "-model", "lenet_test.prototxt", "-weights", "lenet_iter_150.caffemodel", "-iterations", "3")
    assert "accuracy = %.6g" % tested["accuracy"] in log

    weights = "lenet_iter_150.caffemodel", "lenet_test.prototxt"
    run_well(run_caffe, "extract_features", *weights, "score,label", "score_lmdb,label_lmdb", 3, "lmdb")
    scores = np.array([datum.float_data for _, datum in records("score_lmdb")])
    labels = np.array([datum.float_data for _, datum in records("label_lmdb")])[:, 0]
    assert labels.tolist() == DIGITS.target[ORDER[TRAINED:]].tolist()
    assert (scores.argmax(1) == labels).mean() == pytest.approx(tested["accuracy"])

    n = caffe.NetSpec()                 # a data layer reads the features back
    n.data = L.Data(source="score_lmdb", batch_size=297, backend=P.Data.LMDB)
    write("read.prototxt", str(n.to_proto()))
    read = caffe.Net("read.prototxt", caffe.TEST).forward()["data"]
    assert np.array_equal(read[:, :, 0, 0], scores.astype(np.float32))


# ---- a Siamese net

def pairs_lmdb(path, first, last, count):
    """Pairs of the digits first..last in ORDER as images of two channels; label 1: the same digit."""
    rng = np.random.default_rng(first)
    digits, datums = ORDER[first:last], []
    for number in range(count):
        one = rng.choice(digits)
        is_same = DIGITS.target[digits] == DIGITS.target[one]
        other = rng.choice(digits[is_same == bool(number % 2)])
        images = np.kron(DIGITS.images[[one, other]], np.ones((2, 2))) * 15.9
        datums.append(caffe.io.array_to_datum(images.astype(np.uint8), number % 2))
    write_lmdb(path, datums)


def siamese(source):
    n = caffe.NetSpec()
    n.pair_data, n.sim = L.Data(source=source, batch_size=64, backend=P.Data.LMDB, ntop=2, transform_param=dict(scale=1 / 256))
    n.data, n.data_p = L.Slice(n.pair_data, ntop=2, slice_dim=1, slice_point=1)
    for suffix in ("", "_p"):
        ip1 = features(n, n.tops["data" + suffix], suffix, shared=True)
        n["feat" + suffix] = L.InnerProduct(ip1, num_output=10, weight_filler=XAVIER, param=[dict(name="feat_w"), dict(name="feat_b", lr_mult=2)])
    n.loss = L.ContrastiveLoss(n.feat, n.feat_p, n.sim, margin=1)
    return n.to_proto()


def test_a_siamese_net_learns_which_digits_are_the_same(run_caffe):
    pairs_lmdb("pairs_train", 0, TRAINED, 3200)
    pairs_lmdb("pairs_test", TRAINED, len(ORDER), 640)
    nets = siamese("pairs_train"), siamese("pairs_test")
    train(run_caffe, "siamese", nets, test_iter=10, iterations=150, rate=0.05, decay=0)
    run_well(run_caffe, "extract_features", "siamese_iter_150.caffemodel", "siamese_test.prototxt", "feat,feat_p,sim", "a,b,sim", 10, "lmdb")
    one, other, same = (np.array([datum.float_data for _, datum in records(path)]) for path in ("a", "b", "sim"))
    distance = np.linalg.norm(one - other, axis=1)
    right = ((distance < 0.5) == same[:, 0]).mean()
    assert right > 0.9
    net = caffe.Net("siamese_test.prototxt", "siamese_iter_150.caffemodel", caffe.TEST)
    assert np.array_equal(net.params["conv1"][0].data, net.params["conv1_p"][0].data)


# ---- logistic regression

def logistic(source):
    n = caffe.NetSpec()
    n.data, n.label = L.HDF5Data(source=source, batch_size=10, ntop=2)
    n.score = L.InnerProduct(n.data, num_output=2, weight_filler=XAVIER)
    n.accuracy = L.Accuracy(n.score, n.label)
    n.loss = L.SoftmaxWithLoss(n.score, n.label)
    return n.to_proto()


def test_logistic_regression_on_hdf5_is_as_good_as_scikit_learns(run_caffe):
    x, y = make_classification(n_samples=2000, n_features=4, n_redundant=0, n_informative=2, n_clusters_per_class=2, random_state=0)
    for name, part in (("train_0", slice(0, 750)), ("train_1", slice(750, 1500)), ("test", slice(1500, 2000))):
        with h5py.File(name + ".h5", "w") as file:
            file["data"], file["label"] = x[part], y[part]
    write("train.txt", "train_0.h5\ntrain_1.h5\n")
    write("test.txt", "test.h5\n")
    nets = logistic("train.txt"), logistic("test.txt")
    tested = train(run_caffe, "logistic", nets, test_iter=50, iterations=600, rate=0.01, decay=0.0005)
    theirs = LogisticRegression().fit(x[:1500], y[:1500]).score(x[1500:], y[1500:])
    assert tested["accuracy"] == pytest.approx(theirs, abs=0.01)
