"""Mistakes of the user: each is one line `error: ...` that names what is wrong, exit code 1, and no traceback."""
import pytest
from caffe.proto import caffe_pb2
from support.error_line import assert_error
from support.voc_folder import annotation_xml, make_voc_folder


def test_missing_data_set(train, tmp_path):
    assert_error(train(imdb="voc:%s@trainval" % (tmp_path / "nowhere")), "nowhere")


def test_unknown_data_set(train):
    assert_error(train(imdb="voc_2007_trainvall"), "voc_2007_trainvall", "voc_2007_trainval")


def test_image_set_without_list(train, voc_folder):
    assert_error(train(imdb="voc:%s@val" % voc_folder), "val.txt")


def test_weights_of_the_wrong_shape(train, tmp_path):
    weights = caffe_pb2.NetParameter()
    layer = weights.layer.add(name="conv1", type="Convolution")
    layer.blobs.add(data=[0] * 48, shape=caffe_pb2.BlobShape(dim=[4, 3, 2, 2]))
    layer.blobs.add(data=[0] * 4, shape=caffe_pb2.BlobShape(dim=[4]))
    (tmp_path / "wrong.caffemodel").write_bytes(weights.SerializeToString())
    assert_error(train(weights=tmp_path / "wrong.caffemodel"), "wrong.caffemodel", "conv1", "4", "8")


def test_missing_weights_say_where_to_put_them(train):
    assert_error(train(weights="data/imagenet_models/Nothing.caffemodel"), "Nothing.caffemodel", "data/README.md")


def test_weights_that_are_no_caffemodel(train, tmp_path):
    (tmp_path / "page.caffemodel").write_text("<html>404 Not Found</html>")
    assert_error(train(weights=tmp_path / "page.caffemodel"), "page.caffemodel")


def test_unknown_layer_type(train, tiny_net):
    path = tiny_net / "fast_rcnn_ohem" / "train.prototxt"
    path.write_text(path.read_text().replace('"ROIPooling"', '"RoiPooling"'))
    assert_error(train(), "RoiPooling", "ROIPooling")


def test_prototxt_with_a_wrong_field(train, tiny_net):
    path = tiny_net / "fast_rcnn_ohem" / "train.prototxt"
    path.write_text(path.read_text().replace("num_output: 8", "num_outputs: 8", 1))
    assert_error(train(), "train.prototxt", "num_outputs")


def test_missing_solver(train, tmp_path):
    assert_error(train(solver=tmp_path / "solver.prototxt"), "solver.prototxt")


def test_typo_in_a_setting(train):
    assert_error(train("TRAIN.BATCHSIZE", "32"), "TRAIN.BATCHSIZE", "TRAIN.BATCH_SIZE")


def test_setting_without_value(train):
    assert_error(train("TRAIN.BATCH_SIZE"), "--set")


def test_missing_config_file(train):
    assert_error(train(cfg="nowhere.yml"), "nowhere.yml")


@pytest.mark.parametrize("keep", [0, 20, 400])
def test_corrupt_image(train, voc_folder, keep):
    path = voc_folder / "JPEGImages" / "a001.jpg"
    path.write_bytes(path.read_bytes()[:keep])
    assert_error(train(iters=8), "a001.jpg")


def test_annotation_box_outside_the_image(train, voc_folder):
    annotation = annotation_xml(120, 91, [("ball", (10, 12, 40, 45)), ("cup", (60, 20, 180, 70))])
    (voc_folder / "Annotations" / "a001.xml").write_text(annotation)
    assert_error(train(), "a001.xml", "cup", "180")


def test_annotation_of_an_unknown_class(train, voc_folder):
    (voc_folder / "Annotations" / "a001.xml").write_text(annotation_xml(120, 91, [("spoon", (10, 12, 40, 45))]))
    assert_error(train(), "a001.xml", "spoon")


def test_proposals_of_too_few_images(train, voc_folder, tmp_path):
    other = make_voc_folder(tmp_path / "other" / "things", {"a000": (120, 90, [])}, "trainval", ["ball", "cup"])
    name = "selective_search_data/things_trainval.mat"
    (voc_folder / name).write_bytes((other / name).read_bytes())
    assert_error(train(), "things_trainval.mat", "1 image", "4 image")


def test_missing_proposals(train, voc_folder):
    (voc_folder / "selective_search_data" / "things_trainval.mat").unlink()
    assert_error(train(), "things_trainval.mat")


def test_gpu_that_is_not_there(train):
    assert_error(train(gpu="97"), "--gpu 97", "--gpu cpu")


def test_unknown_precision(train):
    assert_error(train(precision="fp16"), "fp16", "float32, tf32, bf16")


def test_gpu_that_is_no_number(train):
    assert_error(train(gpu="first"), "--gpu", "first")


def test_state_to_resume_from_is_missing(train, tmp_path):
    assert_error(train(resume=tmp_path / "none.solverstate"), "none.solverstate")


def test_net_to_test_is_missing(run, tiny_net, voc_folder):
    result = run("test_net.py", "--gpu", "cpu", "--def", tiny_net / "fast_rcnn" / "test.prototxt",
                 "--net", "nothing.caffemodel", "--imdb", "voc:%s@test" % voc_folder)
    assert_error(result, "nothing.caffemodel")


def test_output_that_cannot_be_written(train, tmp_path):
    (tmp_path / "file").write_text("")
    assert_error(train("EXP_DIR", str(tmp_path / "file" / "below")), str(tmp_path / "file"), "Not a directory")


def test_reval_without_detections(run, tmp_path, voc_folder):
    assert_error(run("reval.py", tmp_path, "--imdb", "voc:%s@test" % voc_folder), "detections.npz")


def test_demo_without_a_trained_net(run):
    assert_error(run("demo.py", "--cpu", "--net", "NoSuchNet", "photo.jpg"), "NoSuchNet")
    assert_error(run("demo.py", "--cpu", "--net", "zf"), "data/faster_rcnn_models/ZF_faster_rcnn_final.caffemodel does not exist",
                 "fetch_faster_rcnn_models.sh")
