"""Data and mining layers of forks train; and docs/own_layers.md, whose programs are run as they stand there."""
import csv
import re
import sys

import caffe
import numpy as np
import pytest
from datasets import by_name, factory
from fast_rcnn.config import cfg
from fast_rcnn.train import SolverWrapper, train_net
from roi_data_layer import minibatch
from roi_data_layer.ohem import roi_losses
from roi_data_layer.roidb import prepare_roidb
from support.reference import ROOT
from support.roidbs import random_entries
from support.settings import settings
from support.small_nets import OHEM_NET, SOLVER, write_solver
from support.train_small import SETTINGS, train_small
from support.voc_folder import make_voc_folder, small_images
from training.resume import load_resume
from utils import caffe_extensions
from utils.errors import UserError

PAGE = ROOT / "docs" / "own_layers.md"
OURS = 'module: "roi_data_layer.layer" layer: "%s"'


@pytest.fixture(autouse=True)
def quiet():
    caffe.set_log_level(1)
    yield
    caffe.set_log_level(0)


@pytest.fixture
def own_file(tmp_path, monkeypatch):
    """own_file(name, text): a module of that name, forgotten afterwards."""
    def write(name, text):
        (tmp_path / (name + ".py")).write_text(text, encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, name, raising=False)
        names.append(name)
    names = []
    yield write
    for name in names:
        sys.modules.pop(name, None)


def programs():
    """{file: program} of the page; the last one has no file."""
    text = PAGE.read_text(encoding="utf-8")
    assert text.count("```python") == 4
    return dict(re.findall(r"This file is\s`(\w+)\.py`(?:(?!```).)*?```python\n(.*?)```", text, re.S))


def instead_of(ours, module, layer):
    """An edit of the train net."""
    def edit(net):
        assert OURS % ours in net
        return net.replace(OURS % ours, 'module: "%s" layer: "%s"' % (module, layer))
    return edit


def rows(folder):
    with open(folder / "output" / "metrics.csv", encoding="utf-8") as f:
        return list(csv.DictReader(f))


def weights(path):
    net = caffe.proto.caffe_pb2.NetParameter()
    with open(path, "rb") as f:
        net.ParseFromString(f.read())
    return {(layer.name, i): np.array(blob.data) for layer in net.layer for i, blob in enumerate(layer.blobs)}


def are_equal(one, other):
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)


# ---- the page ------------------------------------------------------------------------------------------------------------

def test_focal_mining_of_the_page(tmp_path, own_file):
    own_file("focal_mining", programs()["focal_mining"])
    theirs = train_small(tmp_path, True, edit=instead_of("OHEMDataLayer", "focal_mining", "FocalMining"))
    assert all(0 < float(row["mean_loss_all"]) < float(row["mean_loss_hard"]) for row in rows(tmp_path))
    module, rng = sys.modules["focal_mining"], np.random.default_rng(0)
    prob, labels = rng.dirichlet(np.ones(3), 9).astype(np.float32), rng.integers(0, 3, 9).astype(np.float32)
    layer = module.FocalMining.__new__(module.FocalMining)
    np.testing.assert_allclose(layer.losses(prob, labels), roi_losses(prob, labels)
                               * (1 - prob[np.arange(9), labels.astype(int)]) ** 2)
    (tmp_path / "ours").mkdir()
    assert not are_equal(theirs[-1], train_small(tmp_path / "ours", True)[-1])


def test_rare_first_of_the_page(tmp_path, own_file):
    """Its images differ from ours; and a resumed training is bit for bit an uninterrupted one."""
    own_file("rare_first", programs()["rare_first"])
    edit = instead_of("RoIDataLayer", "rare_first", "RareFirst")
    for folder in ("whole", "parts", "ours"):
        (tmp_path / folder).mkdir()
    whole = train_small(tmp_path / "whole", edit=edit)[-1]
    first = train_small(tmp_path / "parts", edit=edit, max_iters=4)[-1]
    parts = train_small(tmp_path / "parts", edit=edit, resume=first.replace(".caffemodel", ".solverstate"))[-1]
    assert are_equal(whole, parts)
    assert not are_equal(whole, train_small(tmp_path / "ours")[-1])
    sampler = sys.modules["rare_first"].RareClasses(random_entries(tmp_path, 3, num_classes=3), 1)
    np.testing.assert_allclose(sampler._shares, [.25, .5, .25])     # classes 1, 2 and 1


def test_half_data_of_the_page(own_root, own_file):
    own_file("half_data", programs()["half_data"])
    for split, count in (("trainval", 5), ("test", 4)):
        make_voc_folder(own_root / "data" / "my_data", small_images(split[0], count), split, ["ball", "cup"])
    table = dict(getattr(factory, "__sets"))  # noqa: B009
    try:
        __import__("half_data")
        imdb = by_name.load_imdb("half_data_trainval")
        assert by_name.imdb_name("half_data_test") == "half_data_test" and imdb.image_index == ["t000", "t002", "t004"]
        assert [len(entry["boxes"]) for entry in imdb.gt_roidb()] == [0, 2, 2]
        assert imdb.proposals_path.endswith("half_data_trainval.mat")
        found = [[[]] * 2, [[], np.array([[9, 11, 39, 44, .5]])], [[]] * 2]
        assert by_name.load_imdb("half_data_test").evaluate_detections(found, str(own_root / "out")) == pytest.approx(.5)
    finally:
        getattr(factory, "__sets").clear()  # noqa: B009
        getattr(factory, "__sets").update(table)  # noqa: B009


# ---- layers that are no subclasses ---------------------------------------------------------------------------------------

COPIED = '''
import atexit
import multiprocessing

import caffe
import numpy as np
import yaml
from fast_rcnn.config import cfg
from roi_data_layer.minibatch import get_allrois_minibatch, get_minibatch, get_ohem_minibatch


class Fetcher(multiprocessing.Process):
    """As the original's BlobFetcher: makes minibatches in a process of its own."""

    def __init__(self, queue, layer):
        super(Fetcher, self).__init__()
        self._queue, self._make = queue, layer._make
        np.random.seed(cfg.RNG_SEED)

    def run(self):
        while True:
            self._queue.put(self._make())


class Data(caffe.Layer):
    def setup(self, bottom, top):
        self._num_classes = yaml.safe_load(self.param_str_)['num_classes']
        self._names = ['data', 'rois', 'labels', 'bbox_targets', 'bbox_inside_weights', 'bbox_outside_weights']
        shapes = [(1, 3, 100, 100), (1, 5), (1,)] + [(1, 4 * self._num_classes)] * 3
        for blob, shape in zip(top, shapes):
            blob.reshape(*shape)

    def set_roidb(self, roidb):
        self._roidb, self._perm, self._cur = roidb, np.random.permutation(len(roidb)), 0
        if cfg.TRAIN.USE_PREFETCH:
            self._blob_queue = multiprocessing.Queue(10)
            fetcher = Fetcher(self._blob_queue, self)
            fetcher.daemon = True
            fetcher.start()
            atexit.register(fetcher.terminate)

    def _make(self):
        inds = self._perm[self._cur:self._cur + cfg.TRAIN.IMS_PER_BATCH]
        self._cur = (self._cur + cfg.TRAIN.IMS_PER_BATCH) % (len(self._roidb) - 1)
        make = get_allrois_minibatch if cfg.TRAIN.USE_OHEM else get_minibatch
        return make([self._roidb[i] for i in inds], self._num_classes)

    def forward(self, bottom, top):
        blobs = self._blob_queue.get() if cfg.TRAIN.USE_PREFETCH else self._make()
        for name, blob in blobs.items():
            top[self._names.index(name)].reshape(*blob.shape)
            top[self._names.index(name)].data[...] = blob

    def backward(self, top, propagate_down, bottom):
        pass

    def reshape(self, bottom, top):
        pass


class Hardest(caffe.Layer):
    def setup(self, bottom, top):
        self._names = ['rois_hard', 'labels_hard', 'bbox_targets_hard', 'bbox_inside_weights_hard',
                       'bbox_outside_weights_hard']
        for i in range(len(top)):
            top[i].reshape(*bottom[i + 2].shape)

    def forward(self, bottom, top):
        labels = bottom[3].data.astype(int)
        loss = -np.log(np.maximum(bottom[0].data[np.arange(len(labels)), labels], 1e-9))
        blobs = get_ohem_minibatch(loss, *(bottom[i].data for i in range(2, 7)))
        for i, name in enumerate(self._names):
            top[i].reshape(*blobs[name].shape)
            top[i].data[...] = blobs[name]

    def backward(self, top, propagate_down, bottom):
        pass

    def reshape(self, bottom, top):
        pass
'''


@pytest.mark.parametrize("prefetch", [False, True])
def test_a_copied_data_layer(tmp_path, own_file, capfd, prefetch):
    """Without sampler_state, in the training's process or with one of its own; a resumed training goes on."""
    own_file("copied", COPIED)
    edit = instead_of("RoIDataLayer", "copied", "Data")
    paths = train_small(tmp_path, edit=edit, max_iters=4, **{"TRAIN.USE_PREFETCH": prefetch})
    out = capfd.readouterr().out
    assert "Data layer copied.Data has no sampler_state" in out and "exact resume cannot be had (docs/own_layers.md)" in out
    again = train_small(tmp_path, edit=edit, resume=paths[-1].replace(".caffemodel", ".solverstate"),
                        **{"TRAIN.USE_PREFETCH": prefetch})
    assert again[-1].endswith("_iter_6.caffemodel") and [row["iter"] for row in rows(tmp_path)] == ["2", "4", "6"]


def test_a_resumed_copied_data_layer_does_not_repeat_its_first_epoch(tmp_path, own_file):
    own_file("copied", COPIED + '''

ORDERS = []


class Told(Data):
    def set_roidb(self, roidb):
        Data.set_roidb(self, roidb)
        ORDERS.append(self._perm.tolist())
''')
    edit, here = instead_of("RoIDataLayer", "copied", "Told"), {"TRAIN.USE_PREFETCH": False}
    first = train_small(tmp_path, edit=edit, max_iters=4, **here)[-1]
    train_small(tmp_path, edit=edit, resume=first.replace(".caffemodel", ".solverstate"), **here)
    one, other = sys.modules["copied"].ORDERS
    assert one != other and sorted(one) == sorted(other) == list(range(5))


def test_a_copied_data_layer_does_not_train_in_several_processes(tmp_path, own_file, monkeypatch):
    own_file("copied", COPIED)
    with settings({**SETTINGS, "TRAIN.USE_PREFETCH": False}):
        path = write_solver(tmp_path, instead_of("RoIDataLayer", "copied", "Data")(OHEM_NET))
        cfg.TRAIN.USE_OHEM = True
        monkeypatch.setattr(caffe_extensions, "solver_count", lambda: 2)
        with pytest.raises(UserError, match="copied.Data has no sampler_state, so each of the 2 processes"):
            SolverWrapper(path, random_entries(tmp_path, 3), str(tmp_path / "output"))


def test_a_mining_layer_of_another_name(tmp_path, own_file, capfd):
    own_file("copied", COPIED)
    train_small(tmp_path, True, edit=instead_of("OHEMDataLayer", "copied", "Hardest"))
    out = capfd.readouterr().out
    assert "no OHEMDataLayer: its own Hardest gets all RoIs, and is taken to choose the hard ones" in out
    assert "metrics.csv has no figures of mining" in out and rows(tmp_path)[-1]["mean_loss_hard"] == ""


def test_mining_without_any_layer_that_could_is_refused(tmp_path):
    with pytest.raises(UserError, match="no OHEMDataLayer, so nothing would be mined"):
        train_small(tmp_path, False, **{"TRAIN.USE_OHEM": True})


# ---- a fork's own minibatch.py -------------------------------------------------------------------------------------------

def test_our_layers_call_a_forks_minibatch(tmp_path, monkeypatch, capfd):
    """A function of a fork in place of ours makes the minibatches, and chooses the hard RoIs."""
    called = {}

    def own(name):
        ours = getattr(minibatch, name)

        def function(*args):
            called[name] = called.get(name, 0) + 1
            return ours(*args)
        monkeypatch.setattr(minibatch, name, function)

    own("get_allrois_minibatch")
    own("get_ohem_minibatch")
    train_small(tmp_path, True, max_iters=3)
    assert called == {"get_allrois_minibatch": 3, "get_ohem_minibatch": 3}
    assert "get_ohem_minibatch is that of %s, a fork's own" % __file__ in capfd.readouterr().out
    own("get_minibatch")
    (tmp_path / "plain").mkdir()
    train_small(tmp_path / "plain", max_iters=3)
    assert called["get_minibatch"] == 3


def test_a_forks_minibatch_trains_as_ours_from_the_same_numbers(tmp_path, monkeypatch):
    """The original's file has these two functions, py-faster-rcnn's only the first; here they are ours, unrecognised."""
    for folder in ("theirs", "again"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(minibatch, "OURS", ())
    theirs = train_small(tmp_path / "theirs", True)[-1]
    again = train_small(tmp_path / "again", True, **{"TRAIN.USE_PREFETCH": False})[-1]
    assert are_equal(theirs, again)
    monkeypatch.delattr(minibatch, "get_ohem_minibatch")
    (tmp_path / "ours").mkdir()
    assert are_equal(theirs, train_small(tmp_path / "ours", True)[-1])


# ---- a fork's own training loop ------------------------------------------------------------------------------------------

class OwnLoop(SolverWrapper):
    """As the original's train_model, which steps the solver itself."""

    def train_model(self, max_iters):
        while self.solver.iter < max_iters:
            self.solver.step(1)
        return [self.snapshot()]


def test_the_state_of_a_training_loop_of_ones_own(tmp_path):
    """Where the data layer stands is asked when it is written."""
    with settings(SETTINGS):
        path = write_solver(tmp_path, solver=SOLVER)
        states = []
        for wrapper in (OwnLoop, SolverWrapper):
            np.random.seed(3)
            caffe.set_random_seed(3)
            made = wrapper(path, random_entries(tmp_path, 5), str(tmp_path / wrapper.__name__), pretrained_model=None)
            states.append(load_resume(made.train_model(2)[0].replace(".caffemodel", ".solverstate"))[1][0])
    assert states[0]["cur"] == states[1]["cur"] == 4


def test_train_net_takes_the_originals_arguments(tmp_path):
    with settings(SETTINGS):
        paths = train_net(write_solver(tmp_path), random_entries(tmp_path, 3), str(tmp_path / "out"), pretrained_model=None,
                          max_iters=1)
    assert [path.endswith("small_iter_1.caffemodel") for path in paths] == [True]
    assert prepare_roidb.__module__ == "roi_data_layer.roidb"
