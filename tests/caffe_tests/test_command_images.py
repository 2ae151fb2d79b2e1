"""caffe classify, detect and draw_net: what they write, with a small net."""
import csv

import caffe
import numpy as np
import pytest
from PIL import Image

DEPLOY = """layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 16 dim: 16 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 4 weight_filler { type: "gaussian" std: 1e-4 } } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""


@pytest.fixture
def model(tmp_path, monkeypatch):
    """The flags of a model in tmp_path, where the test runs; images a.png and images/{b,c}.png."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deploy.prototxt").write_text(DEPLOY)
    caffe.Net("deploy.prototxt", caffe.TEST).save("net.caffemodel")
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.png", "images/b.png", "images/c.png"):
        Image.fromarray(rng.integers(0, 255, (24, 30, 3), np.uint8)).save(name)
    return "-model_def", "deploy.prototxt", "--pretrained_model=net.caffemodel"


def test_classify_writes_what_the_classifier_predicts(run_caffe, model):
    np.save("mean.npy", np.full((3, 16, 16), 100, np.float32))
    flags = *model, "-images_dim", "20,20", "-mean_file", "mean.npy"
    code, out, _ = run_caffe("classify", "images", "out.npy", *flags, "-ext", "png")
    assert code == 0 and "Classifying 2 inputs." in out and np.load("out.npy").shape == (2, 4)
    classifier = caffe.Classifier("deploy.prototxt", "net.caffemodel", image_dims=(20, 20), mean=np.load("mean.npy"),
                                  raw_scale=255, channel_swap=(2, 1, 0))
    images = [caffe.io.load_image("images/%s.png" % name) for name in "bc"]
    np.testing.assert_array_equal(np.load("out.npy"), classifier.predict(images))
    assert run_caffe("classify", "a.png", "one", *flags, "-center_only")[0] == 0
    np.testing.assert_array_equal(np.load("one.npy"), classifier.predict([caffe.io.load_image("a.png")], oversample=False))
    code, _, err = run_caffe("classify", "images", "out.npy", *flags)
    assert code == 1 and "images: contains no *.jpg files; set -ext" in err
    code, _, err = run_caffe("classify", "a.png", "out.npy", *model, "-mean_file", "a.png")
    assert code == 1 and "a.png: cannot read this array: it is not a .npy file" in err


def test_detect_writes_a_row_for_each_window(run_caffe, model, tmp_path):
    (tmp_path / "w.csv").write_text("filename,ymin,xmin,ymax,xmax\na.png,1,2,15,16\nimages/b.png,0,0,20,30\na.png,3,3,10,20\n")
    flags = *model, "-crop_mode", "list", "-context_pad", 2
    assert run_caffe("detect", "w.csv", "out.csv", *flags)[0] == 0
    rows = list(csv.DictReader(open("out.csv", encoding="utf-8")))
    assert list(rows[0]) == ["filename", "ymin", "xmin", "ymax", "xmax", "class0", "class1", "class2", "class3"]
    assert [(row["filename"], row["xmax"]) for row in rows] == [("a.png", "16"), ("a.png", "20"), ("images/b.png", "30")]
    for row in rows:
        assert abs(sum(float(row["class%d" % k]) for k in range(4)) - 1) < 1e-5
    (tmp_path / "w.csv").write_text("filename,ymin,xmin,ymax,xmax\na.png,1,2,x,16\n")
    code, _, err = run_caffe("detect", "w.csv", "out.csv", *flags)
    assert code == 1 and "w.csv:2: expected four numbers ymin,xmin,ymax,xmax, got 1,2,x,16" in err


def test_draw_net_writes_the_graph(run_caffe, model, tmp_path):
    assert run_caffe("draw_net", "deploy.prototxt", "net.dot", "--rankdir", "TB", "--phase", "TEST")[0] == 0
    text = (tmp_path / "net.dot").read_text()
    assert "ip" in text and "prob" in text and "TB" in text
    code, _, err = run_caffe("draw_net", "deploy.prototxt", "net")
    assert code == 1 and "its name has no extension for the image format" in err
