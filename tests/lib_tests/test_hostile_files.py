"""The fuzzers' files of ../shared/cases/hostile: each is read, or is one line."""
import json
import os
import re

import caffe
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from caffe.util.weight_files import read_state, read_weights
from datasets.coco_json import read_sources
from datasets.image_files import require_whole
from datasets.proposals import load_proposals
from datasets.text_files import read_lines
from fast_rcnn.config import cfg_from_file
from roi_data_layer.sampler import ImageSampler
from support.reference import ROOT
from training import log, resume
from utils.errors import UserError
from utils.images import read_image
from utils.safe_unpack import unpack

FOLDER = ROOT.parent / "shared" / "cases" / "hostile"
FILES = sorted(path.name for path in FOLDER.iterdir()) if FOLDER.is_dir() else [""]
NET = """layer { name: "d" type: "DummyData" top: "d" top: "l" dummy_data_param { shape { dim: 4 dim: 3 } shape { dim: 4 } } }
layer { name: "i" type: "InnerProduct" bottom: "d" top: "i" inner_product_param { num_output: 3 } }
layer { name: "s" type: "SoftmaxWithLoss" bottom: "i" bottom: "l" top: "s" }"""


def archive(path, folder):
    unpack(path, folder)


def caffemodel(path, folder):
    read_weights(path)


def solverstate(path, folder):
    read_state(path)


def changed(path, arrays, target):
    """`target` as `path` says: an .npz of `arrays` with some of them changed, or the bytes that stand there."""
    try:
        change = json.loads(path.read_bytes())
    except ValueError:
        target.write_bytes(path.read_bytes())
        return
    arrays = {name: array for name, array in arrays.items() if name not in change["drop"]}
    arrays.update((name, np.array(value)) for name, value in change["set"])
    np.savez(target, **arrays)


def resumed(path, folder):
    stem = folder / "s"
    (folder / "s.caffemodel").write_bytes(b"weights")
    (folder / "s.solverstate").write_bytes(caffe_pb2.SolverState(iter=1, random_state=b"r").SerializeToString())
    sampler = ImageSampler([{"width": 3, "height": 3}] * 5, 1, False)
    resume.save_resume(str(stem), {"0": np.zeros(3), "1": np.zeros(3)}, [sampler.state()], 3, {})
    with np.load(f"{stem}.resume.npz") as stored:
        arrays = dict(stored)
    changed(path, arrays, folder / "s.resume.npz")
    resume.read_origin(f"{stem}.solverstate")
    for state in resume.load_resume(f"{stem}.solverstate")[1]:
        sampler.set_state(state)


def metrics(path, folder):
    (folder / "metrics.csv").write_bytes(path.read_bytes())
    log._keep_rows(folder / "metrics.csv", 3)


def prototxt(path, folder):
    net = caffe.Net(str(path), caffe.TRAIN)
    for index in net.inputs:
        net.blobs[index].data[...] = 1
    net.forward()
    net.backward()


def solver(path, folder):
    (folder / "net.prototxt").write_text(NET)
    text = re.sub(r'\bnet: "[^"]*"', f'net: "{folder}/net.prototxt"', path.read_text())
    text = re.sub(r'snapshot_prefix: "[^"]*"', f'snapshot_prefix: "{folder}/s"', text)
    (folder / "solver.prototxt").write_text(text)
    caffe.get_solver(str(folder / "solver.prototxt")).step(2)


def coco(path, folder):
    read_sources([(str(path), str(folder))], True, "toy")


def lists(path, folder):
    read_lines(str(path))


def image(path, folder):
    require_whole(str(path))
    read_image(str(path))


def proposals(extension):
    def read(path, folder):
        target = folder / ("p" + extension)
        if extension == ".npz":
            changed(path, {"boxes": np.zeros((3, 4)), "counts": np.array([1, 2])}, target)
        else:
            target.write_bytes(path.read_bytes())
        load_proposals(str(target), ["im0", "im1"])
    return read


def yml(path, folder):
    cfg_from_file(path)


READERS = {"archive": archive, "caffemodel": caffemodel, "solverstate": solverstate, "resume": resumed, "metrics": metrics,
           "prototxt": prototxt, "prototxt_net": prototxt, "solver": solver, "coco": coco, "lists": lists, "image": image,
           "mat": proposals(".mat"), "npz": proposals(".npz"), "json_props": proposals(".json"), "yml": yml}


@pytest.mark.parametrize("name", FILES)
def test_read_or_one_line(name, tmp_path):
    if not name:
        pytest.skip(f"the fuzzers' files are not on this machine: {os.path.relpath(FOLDER, ROOT)}")
    kind = name.rpartition("_")[0]
    read = READERS.get(kind) or READERS[kind.removeprefix("s")]
    try:
        read(FOLDER / name, tmp_path)
    except (UserError, caffe.CaffeError) as e:
        assert len(" ".join(str(e).split())) < 2000
