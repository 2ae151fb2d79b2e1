"""Data layers that read files: what is random, where they continue after a snapshot, and their errors."""
import io
import os
import shutil

import caffe
import h5py
import lmdb
import numpy as np
import pytest
from caffe import TEST, TRAIN, CaffeError
from caffe.proto import caffe_pb2
from caffe.util import datum_images
from google.protobuf import text_format
from PIL import Image
from support.recorded_data import datum_of, make_files, write_lmdb

DB = 'type: "Data" top: "data" top: "label" data_param { source: "small_lmdb" backend: LMDB batch_size: 4 %s} '
LIST = 'type: "ImageData" top: "data" top: "label" image_data_param { source: "%s" root_folder: "images/" batch_size: 2 %s} '
ROWS = 'type: "HDF5Data" top: "x" top: "y" hdf5_data_param { source: "%s" batch_size: 3 %s} '
WINDOWS = ('type: "WindowData" top: "data" top: "label" window_data_param { source: "%s" root_folder: "images/" batch_size: 8 %s} '
           'transform_param { crop_size: 5 %s} ')


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    """The files of recorded_data.py in the current folder."""
    make_files(str(tmp_path), caffe_pb2.Datum, caffe_pb2.BlobProto)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def net_of(layer, phase=TEST):
    return caffe.Net(text_format.Parse('layer { name: "l" %s }' % layer, caffe_pb2.NetParameter()), phase)


def batches(net, count, name="label"):
    """The numbers of a top in `count` passes."""
    found = []
    for _ in range(count):
        net.forward()
        found.append(net.blobs[name].data.copy())
    return found


# ---- random parts

def test_a_crop_in_training_is_any_part_and_mirrored_or_not(files):
    image = np.arange(12, dtype=np.uint8).reshape(1, 3, 4)
    write_lmdb("one_lmdb", [datum_of(caffe_pb2.Datum, image, 0)])
    layer = DB.replace("small", "one") % "" + "transform_param { crop_size: 2 mirror: true }"
    seen = {tuple(item.ravel()) for batch in batches(net_of(layer, TRAIN), 100, "data") for item in batch}
    crops = [image[0, y:y + 2, x:x + 2] for y in range(2) for x in range(3)]
    assert seen == {tuple(crop[:, ::step].ravel().tolist()) for crop in crops for step in (1, -1)}


def test_shuffled_images_come_once_an_epoch_in_another_order(files):
    names = "".join("w.png %d\n" % i for i in range(20))
    (files / "many.txt").write_text(names)
    found = batches(net_of(LIST % ("many.txt", "shuffle: true ")), 40)
    epochs = np.reshape(found, (4, 20)).tolist()
    assert all(sorted(epoch) == list(range(20)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in [*epochs, list(range(20))]}) == 5


def test_shuffled_rows_come_once_an_epoch(files):
    with h5py.File("c.h5", "w") as file:
        file["x"], file["y"] = np.arange(24).reshape(12, 2), np.arange(12)
    (files / "c.txt").write_text("c.h5 c.h5\n")
    net = net_of(ROWS % ("c.txt", "shuffle: true "))
    passes = np.reshape(batches(net, 8, "y"), (2, 12)).tolist()
    assert sorted(passes[0]) == sorted(passes[1]) == list(range(12)) and passes[0] != passes[1]
    assert (net.blobs["x"].data[:, 0] == 2 * net.blobs["y"].data).all()         # rows stay together


def test_rand_skip_leaves_out_a_random_number_of_images(files):
    (files / "many.txt").write_text("".join("w.png %d\n" % i for i in range(6)))
    starts = set()
    for seed in range(40):
        caffe.set_random_seed(seed)
        starts.add(float(batches(net_of(LIST % ("many.txt", "rand_skip: 3 ")), 1)[0][0]))
    assert starts == {0, 1, 2}


def test_windows_are_drawn_from_background_and_objects(files):
    (files / "two.txt").write_text("# 0\nw.png\n3 6 8\n5\n1 0.9 0 0 3 3\n2 0.5 1 1 5 5\n9 0.49 0 0 2 2\n8 0.2 2 2 4 4\n7 0.3 0 2 4 4\n")
    labels = np.array(batches(net_of(WINDOWS % ("two.txt", "fg_fraction: 0.5 bg_threshold: 0.4 ", "mirror: true "), TRAIN), 20))
    assert not labels[:, :4].any() and set(labels[:, 4:].ravel().tolist()) == {1, 2}


@pytest.mark.parametrize("layer", [
    DB % "" + "transform_param { crop_size: 2 mirror: true }", LIST % ("list.txt", "shuffle: true new_height: 5 new_width: 5 "),
    ROWS % ("hdf5.txt", "shuffle: true "), WINDOWS % ("windows.txt", "", "mirror: true ")], ids=["Data", "ImageData", "HDF5Data", "WindowData"])
def test_the_seed_gives_the_same_batches_whatever_is_prefetched(layer):
    found = []
    for prefetch in (1, 5):
        caffe.set_random_seed(11)
        ahead = "prefetch: %d " % prefetch
        text = layer.replace("backend", ahead + "backend") if "backend" in layer else layer + "data_param { %s} " % ahead
        net = net_of(text, TRAIN)
        found.append([net.forward() and {name: blob.data.copy() for name, blob in net.blobs.items()} for _ in range(6)])
    for first, second in zip(*found):
        assert all(np.array_equal(first[name], second[name]) for name in first)


# ---- position

def test_a_net_that_is_built_again_starts_at_the_first_item():
    for _ in range(2):
        net = net_of(DB % "")
        assert batches(net, 2)[0].tolist() == [-2, -1, 0, 1]


def test_a_datum_of_16_bits_is_refused_without_opencv_too(monkeypatch):
    monkeypatch.setattr(datum_images, "_cv2", lambda: None)
    database(caffe_pb2.Datum(encoded=True, data=png16()))
    with pytest.raises(CaffeError, match="the image has numbers of type I;16; expected 8 bits a channel"):
        net_of(DB % "")


def test_an_lmdb_that_is_written_again_is_read_by_new_nets():
    old = net_of(DB % "")
    database(image(1, 2, 2))
    new = net_of(DB % "")
    assert batches(new, 1, "data")[0].shape == (4, 1, 2, 2) and batches(old, 1, "data")[0].shape == (4, 3, 5, 6)


def test_train_and_test_net_read_one_lmdb():
    nets = [net_of(DB % "", phase) for phase in (TRAIN, TEST)]
    assert [batches(net, 1)[0].tolist() for net in nets] == [[-2, -1, 0, 1]] * 2


def test_several_processes_share_the_records(monkeypatch):
    """Each takes every n-th; TEST reads them all."""
    caffe.set_solver_count(3)
    try:
        for rank, want in enumerate([[-2, 1, 4, 0], [-1, 2, -2, 1], [0, 3, -1, 2]]):
            caffe.set_solver_rank(rank)
            assert batches(net_of(DB % "", TRAIN), 1)[0].tolist() == want
            rows = net_of(ROWS % ("one.txt", ""), TRAIN)
            assert np.array_equal(np.concatenate(batches(rows, 2, "y")), np.tile(column("b.h5", "y")[rank::3], 3))
        assert batches(net_of(DB % "", TEST), 1)[0].tolist() == [-2, -1, 0, 1]
    finally:
        caffe.set_solver_count(1)
        caffe.set_solver_rank(0)


def column(path, name):
    with h5py.File(path, "r") as file:
        return file[name][...]


@pytest.mark.parametrize("layer", [
    DB % "" + "transform_param { crop_size: 2 mirror: true }",
    LIST % ("list.txt", "shuffle: true rand_skip: 3 new_height: 3 new_width: 3 "),
    ROWS % ("hdf5.txt", "shuffle: true "),
    WINDOWS % ("two.txt", "", "mirror: true ")], ids=["Data", "ImageData", "HDF5Data", "WindowData"])
def test_training_continues_with_the_same_batches(layer, files):
    (files / "two.txt").write_text("# 0\nw.png\n3 6 8\n4\n1 0.9 0 0 3 3\n2 0.5 1 1 5 5\n9 0.4 0 0 2 2\n8 0.2 2 2 4 4\n")
    names = ("x", "y") if "HDF5" in layer else ("data", "label")
    (files / "solver.prototxt").write_text("""base_lr: 0.1 lr_policy: "fixed" snapshot_prefix: "s" random_seed: 3 test_iter: 1 test_interval: 100
        net_param { layer { name: "l" %s } layer { name: "ip" type: "InnerProduct" bottom: "%s" top: "ip" inner_product_param { num_output: 1 } }
        layer { name: "s" type: "Silence" bottom: "%s" } layer { name: "loss" type: "Reduction" bottom: "ip" top: "loss" loss_weight: 1 } }""" % (layer, *names))
    solver = caffe.get_solver("solver.prototxt")
    solver.test_nets[0].forward()
    solver.step(5)
    state = solver.snapshot()
    want = [batches(net, 9, names[1]) for net in (solver.net, solver.test_nets[0])]
    again = caffe.get_solver("solver.prototxt")
    again.step(2)                               # somewhere else, with batches loaded ahead
    again.restore(state)
    got = [batches(net, 9, names[1]) for net in (again.net, again.test_nets[0])]
    assert np.array_equal(got, want)
    assert np.array_equal(again.net.blobs[names[0]].data, solver.net.blobs[names[0]].data)


def test_memory_data_continues_with_the_next_batch():
    layer = net_of("""type: "MemoryData" top: "data" top: "label" transform_param { scale: 2 }
                      memory_data_param { batch_size: 2 channels: 1 height: 1 width: 1 }""").layers[0]
    assert layer.data_position() == []
    layer.set_arrays(np.ones((6, 1, 1, 1), np.float32), np.arange(6))
    layer.set_data_position([4])
    assert layer.data_position() == [4]


def test_hdf5_output_adds_the_rows_of_every_pass():
    text = ('layer { name: "l" %s } layer { name: "o" type: "HDF5Output" bottom: "x" bottom: "y" '
            'hdf5_output_param { file_name: "o.h5" } }' % (ROWS % ("hdf5.txt", "")))
    net = caffe.Net(text_format.Parse(text, caffe_pb2.NetParameter()), TEST)
    for passes in (1, 2, 3):
        net.forward()
        assert column("o.h5", "data").shape == (3 * passes, 2, 3, 1)
    assert column("o.h5", "label").ravel().tolist() == [*column("a.h5", "y"), *column("b.h5", "y")]


# ---- errors

def write(name, text):
    with open(name, "w", encoding="utf-8") as f:
        f.write(text)


def hdf5(**arrays):
    with h5py.File("bad.h5", "w") as file:
        for name, array in arrays.items():
            file[name] = array
    write("bad.txt", "bad.h5\n")


def database(*datums):
    shutil.rmtree("small_lmdb")
    write_lmdb("small_lmdb", list(datums))


def leveldb():
    shutil.rmtree("small_lmdb")
    os.mkdir("small_lmdb")
    write("small_lmdb/CURRENT", "MANIFEST-000002\n")


def image(*shape):
    return datum_of(caffe_pb2.Datum, np.zeros(shape, np.uint8), 0)


def empty_lmdb():
    shutil.rmtree("small_lmdb")
    lmdb.open("small_lmdb").close()


def one_record(data):
    with lmdb.open("small_lmdb") as env, env.begin(write=True) as transaction:
        transaction.put(b"00000002", data)


def png16():
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((2, 2), np.uint16)).save(buffer, "png")
    return buffer.getvalue()


OPENED: list = []       # environments that a user holds
ROWS_OF_BAD, LIST_OF_BAD, WINDOWS_OF_BAD = ROWS % ("bad.txt", ""), LIST % ("bad.txt", ""), WINDOWS % ("bad.txt", "", "")
MISTAKES = {
    # Data
    "no source": (None, DB.replace('source: "small_lmdb"', "") % "", "data_param has no source; expected the folder of an LMDB"),
    "no folder": (lambda: shutil.rmtree("small_lmdb"), DB % "", "source small_lmdb: this folder does not exist; make the LMDB with caffe convert_imageset"),
    "empty": (empty_lmdb, DB % "", "small_lmdb: holds no records"),
    "LevelDB": (leveldb, DB % "", "source small_lmdb is a LevelDB, which cannot be read; write an LMDB from the images with caffe convert_imageset"),
    "no backend": (None, DB.replace("backend: LMDB", "") % "", "the backend is LEVELDB, the default, which cannot be read; set backend: LMDB, which the source is"),
    "no LMDB": (lambda: write("small_lmdb/data.mdb", "text"), DB % "", "small_lmdb: cannot read this LMDB"),
    "no batch_size": (None, DB.replace("batch_size: 4", "") % "", "batch_size is missing or 0; expected 1 or more"),
    "no Datum": (lambda: one_record(b"\xff"), DB % "", "small_lmdb: record 00000002 is not a Datum"),
    "short Datum": (lambda: database(caffe_pb2.Datum(channels=1, height=2, width=2, data=b"ab")), DB % "", "small_lmdb: record 00000000: a Datum holds 2 numbers, its shape (1, 2, 2) asks for 4"),
    "no image": (lambda: database(caffe_pb2.Datum(encoded=True, data=b"ab")), DB % "", "record 00000000: a Datum is marked as encoded, but is not an image"),
    "16 bits": (lambda: database(caffe_pb2.Datum(encoded=True, data=png16())), DB % "", "record 00000000: the image has numbers of type uint16; expected 8 bits a channel"),
    "opened by lmdb": (lambda: OPENED.append(lmdb.open("small_lmdb")), DB % "", "is already open in this process; expected a folder with data.mdb, which this process has not opened by the package lmdb itself"),
    "two sizes": (lambda: database(image(1, 2, 3), image(1, 3, 3)), DB % "", "record 00000001 has shape (1, 3, 3) (channels, height, width), the first of its batch (1, 2, 3); set crop_size, or resize the images"),
    "large crop": (None, DB % "" + "transform_param { crop_size: 6 }", "record 00000000: the image is 5x6 (height, width), smaller than crop_size 6"),
    "mean and values": (None, DB % "" + "transform_param { mean_file: 'mean.binaryproto' mean_value: 1 }", "mean_file and mean_value are both given"),
    "no mean file": (None, DB % "" + "transform_param { mean_file: 'none' }", "none: cannot read this binaryproto: No such file"),
    "text as mean": (lambda: write("m", "text"), DB % "" + "transform_param { mean_file: 'm' }", "m: not a binaryproto, or cut off (4 bytes)"),
    "another mean": (None, DB % "" + "transform_param { mean_file: 'mean9.binaryproto' }", "the image has shape (3, 5, 6) (channels, height, width), the mean_file (3, 12, 12)"),
    "two mean values": (None, DB % "" + "transform_param { mean_value: 1 mean_value: 2 }", "2 mean_value for 3 channels; give one, or one for each channel"),
    "color and gray": (None, DB % "" + "transform_param { force_color: true force_gray: true }", "force_color and force_gray are both true"),
    # ImageData
    "no list": (None, LIST_OF_BAD, "bad.txt: cannot read this list: No such file"),
    "empty list": (lambda: write("bad.txt", "\n"), LIST_OF_BAD, "source bad.txt: it is empty; expected lines of a file name and a label"),
    "no label": (lambda: write("bad.txt", "w.png 1\nv.png\n"), LIST_OF_BAD, "bad.txt: entry 2 is 'v.png'; expected a file name, a space and a label"),
    "missing image": (lambda: write("bad.txt", "w.png 1\nnone.png 1\n"), LIST_OF_BAD, "images/none.png: cannot be read, or is not an image; see root_folder 'images/' and the list bad.txt"),
    "text as image": (lambda: write("images/w.png", "text"), LIST % ("list.txt", ""), "images/w.png: cannot be read, or is not an image"),
    "images of two sizes": (None, LIST % ("list.txt", ""), "images/1 a.png has shape (3, 9, 7) (channels, height, width), the first of its batch (3, 6, 8)"),
    "width alone": (None, LIST % ("list.txt", "new_width: 3 "), "new_height 0, new_width 3; give both, or neither"),
    "large rand_skip": (None, LIST % ("list.txt", "rand_skip: 5 "), "rand_skip 5 for a list of 4 images; at most 4"),
    # HDF5Data
    "no source of HDF5": (None, ROWS_OF_BAD, "source 'bad.txt': cannot read it: No such file"),
    "HDF5 as source": (None, ROWS % ("a.h5", ""), "source a.h5: it is not text; expected a text file with the names of HDF5 files"),
    "empty source": (lambda: write("bad.txt", " \n"), ROWS_OF_BAD, "source bad.txt: it is empty; expected the names of HDF5 files"),
    "no HDF5 file": (lambda: write("bad.txt", "none.h5"), ROWS_OF_BAD, "none.h5: cannot read this HDF5 file"),
    "text as HDF5": (lambda: write("bad.txt", "bad.txt"), ROWS_OF_BAD, "bad.txt: cannot read this HDF5 file"),
    "no dataset": (lambda: hdf5(x=[1.0], label=[1.0]), ROWS_OF_BAD, "bad.h5: has no dataset y; it has label, x; name the tops as the datasets"),
    "text in HDF5": (lambda: hdf5(x=[1.0], y=[b"cat"]), ROWS_OF_BAD, "bad.h5: dataset y has type object; expected numbers, float or integer"),
    "one number": (lambda: hdf5(x=[1.0], y=1.0), ROWS_OF_BAD, "bad.h5: dataset y is a single number; expected one row or more"),
    "labels of wrong count": (lambda: hdf5(x=[1.0, 2, 3], y=[1.0]), ROWS_OF_BAD, "bad.h5: dataset y has 1 rows, x has 3; write the same number of rows"),
    "no rows": (lambda: hdf5(x=np.zeros((0, 2)), y=np.zeros(0)), ROWS_OF_BAD, "bad.h5: dataset x has no rows"),
    "rows of two shapes": (lambda: [hdf5(x=[1.0], y=[2.0]), write("bad.txt", "a.h5 bad.h5")], ROWS_OF_BAD, "bad.h5: its rows have shapes [(), ()], those of the first file [(2, 3), ()]; write rows of one shape"),
    "HDF5 transformed": (None, ROWS % ("hdf5.txt", "") + "transform_param { scale: 2 }", "HDF5Data does not transform its data"),
    # HDF5Output
    "no folder for output": (None, 'type: "HDF5Data" top: "x" top: "y" hdf5_data_param { source: "hdf5.txt" batch_size: 3 } } layer { name: "o" type: "HDF5Output" bottom: "x" bottom: "y" hdf5_output_param { file_name: "none/o.h5" }', "cannot write file_name 'none/o.h5'"),
    # WindowData
    "no windows": (None, WINDOWS_OF_BAD, "bad.txt: cannot read this window file: No such file"),
    "empty window file": (lambda: write("bad.txt", ""), WINDOWS_OF_BAD, "bad.txt: this window file is empty; expected # 0 in its first line"),
    "list as window file": (None, WINDOWS % ("list.txt", "", ""), "list.txt:1: not a valid window file: expected # and the number 0 of the next image, got 'w.png'"),
    "cut off": (lambda: write("bad.txt", "# 0\nw.png\n3 6 8\n1\n1 0.9 0 0"), WINDOWS_OF_BAD, "bad.txt: this window file ends early; expected a window of image 0: label overlap x1 y1 x2 y2"),
    "fraction": (lambda: write("bad.txt", "# 0\nw.png\n3 6 8\n1\n1 0.9 0 0.5 3 3"), WINDOWS_OF_BAD, "bad.txt:5: not a valid window file: expected a window of image 0: label overlap x1 y1 x2 y2, got '0.5'"),
    "number of image": (lambda: write("bad.txt", "# 1\nw.png\n3 6 8\n0\n"), WINDOWS_OF_BAD, "bad.txt:1: not a valid window file: expected image number 0, as images are numbered from 0, got '1'"),
    "no background": (lambda: write("bad.txt", "# 0\nw.png\n3 6 8\n1\n1 0.9 0 0 3 3"), WINDOWS_OF_BAD, "source bad.txt: holds no windows of the background (overlap below 0.5)"),
    "object of label 0": (lambda: write("bad.txt", "# 0\nw.png\n3 6 8\n2\n0 0.9 0 0 3 3 0 0 0 0 3 3"), WINDOWS_OF_BAD, "a window of an object in image 0 has label 0; expected 1 or above"),
    "window outside": (lambda: write("bad.txt", "# 0\nw.png\n3 6 8\n2\n1 0.9 0 0 8 3 0 0 0 0 3 3"), WINDOWS_OF_BAD, "images/w.png: window (0, 0, 8, 3): it is not inside the image of 6x8 (height, width)"),
    "no image of windows": (lambda: os.remove("images/w.png"), WINDOWS % ("windows.txt", "", ""), "images/w.png: cannot be read, or is not an image"),
    "gray windows": (lambda: write("bad.txt", "# 0\nw.png\n1 6 8\n0\n"), WINDOWS_OF_BAD, "images of 1 channels; expected 3"),
    "large context": (None, WINDOWS % ("windows.txt", "context_pad: 3 ", ""), "crop_size 5 with context_pad 3; expected a crop_size above twice the context_pad"),
    "crop_mode": (None, WINDOWS % ("windows.txt", "crop_mode: 'wrap' ", ""), "crop_mode is 'wrap'; expected warp or square"),
    "small mean": (None, WINDOWS.replace("crop_size: 5", "crop_size: 7") % ("windows.txt", "", "mean_file: 'mean.binaryproto' "), "mean_file mean.binaryproto: shape (3, 5, 6) does not contain 3 channels of crop_size 7"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_that_names_the_layer(mistake):
    prepare, layer, message = MISTAKES[mistake]
    if prepare:
        prepare()
    with pytest.raises(CaffeError) as error:
        batches(net_of(layer), 3, "y" if "HDF5" in layer else "label")
    while OPENED:
        OPENED.pop().close()
    assert message in str(error.value) and "\n" not in str(error.value)
    assert str(error.value).startswith("layer %s (" % ("o" if "HDF5Output" in layer else "l"))


def test_a_mistake_in_a_later_batch_is_reported_when_it_comes():
    write("bad.txt", "w.png 1\nw.png 1\nw.png 1\nnone.png 1\n")
    net = net_of(LIST_OF_BAD)
    net.forward()
    for _ in range(8):
        with pytest.raises(CaffeError, match=r"layer l \(ImageData\): images/none.png: cannot be read"):
            net.forward()


@pytest.mark.parametrize("layer, message", [
    (DB % "rand_skip: 2 ", "rand_skip of DataParameter has no effect"),
    (DB % "scale: 2 ", "scale of DataParameter has no effect, as in Caffe 1.0; transform_param has a field of this name"),
    (DB % "" + "transform_param { force_gray: true }", "force_color and force_gray have an effect on encoded images only"),
    (WINDOWS % ("windows.txt", "mirror: true ", ""), "mirror of WindowDataParameter has no effect, as in Caffe 1.0; transform_param"),
    (LIST % ("list.txt", "new_height: 2 new_width: 2 crop_size: 1 "), "crop_size of ImageDataParameter has no effect"),
    (WINDOWS % ("windows.txt", "", "scale: 2 "), "scale of TransformationParameter has no effect")])
def test_a_setting_without_effect_is_one_line_in_the_log(layer, message, capfd):
    batches(net_of(layer), 2)
    assert capfd.readouterr().err.count(message) == 1
