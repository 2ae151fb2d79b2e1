"""Data layers whose batches by C++ Caffe 1.0 are recorded in tests/reference/caffe_1_0_data.npz.

Runs under C++ Caffe, whose Python may be old: keep to the syntax of Python 3.6.

    python recorded_data.py FILE.npz        # with the C++ Caffe's Python: writes the batches of all cases
"""
import os
import struct
import sys
import tempfile
import zlib

import h5py
import lmdb
import numpy as np

DB = "data_param { source: 'small_lmdb' backend: LMDB batch_size: 3 %s} "
BIG = "data_param { source: 'big_lmdb' backend: LMDB batch_size: 2 } "
CODED = "data_param { source: 'coded_lmdb' backend: LMDB batch_size: 1 } "
LIST = "image_data_param { source: 'list.txt' root_folder: 'images/' batch_size: 3 %s} "
ROWS = "hdf5_data_param { source: '%s' batch_size: 4 } "
WINDOWS = "window_data_param { source: '%s' root_folder: 'images/' batch_size: 4 %s} "

# name: (type, settings, number of tops or their names, phase, passes)
CASES = {
    "Data": ("Data", DB % "", 2, 1, 4),
    "Data, no labels": ("Data", DB % "", 1, 0, 2),
    "Data, rand_skip": ("Data", DB % "rand_skip: 4 prefetch: 1 ", 2, 1, 2),
    "Data, mean file and scale": ("Data", DB % "" + "transform_param { mean_file: 'mean.binaryproto' scale: 0.3 }", 2, 0, 2),
    "Data, crop and mean file": ("Data", DB % "" + "transform_param { mean_file: 'mean.binaryproto' crop_size: 3 scale: 0.3 }", 2, 1, 2),
    "Data, mean values": ("Data", DB % "" + "transform_param { mean_value: 3 mean_value: 4.5 mean_value: 100 crop_size: 4 }", 2, 1, 2),
    "Data, one mean value": ("Data", DB % "" + "transform_param { mean_value: 127.3 scale: 0.00390625 }", 2, 1, 2),
    "Data, older fields": ("Data", "data_param { source: 'small_lmdb' backend: LMDB batch_size: 2 scale: 0.1 crop_size: 2 mean_file: 'mean.binaryproto' }", 2, 1, 1),
    "Data, other sizes": ("Data", BIG, 2, 1, 3),
    "Data, other sizes cropped": ("Data", BIG.replace("batch_size: 2", "batch_size: 5") + "transform_param { crop_size: 3 }", 2, 1, 2),
    "Data, floats": ("Data", "data_param { source: 'float_lmdb' backend: LMDB batch_size: 2 } transform_param { scale: 2 }", 2, 1, 1),
    "Data, encoded": ("Data", CODED, 2, 1, 4),
    "Data, encoded, color": ("Data", CODED + "transform_param { force_color: true }", 2, 1, 4),
    "Data, encoded, gray": ("Data", CODED + "transform_param { force_gray: true mean_value: 7 }", 2, 1, 4),
    "ImageData": ("ImageData", LIST % "new_height: 4 new_width: 5 ", 2, 1, 3),
    "ImageData, gray": ("ImageData", LIST % "new_height: 6 new_width: 8 is_color: false " + "transform_param { crop_size: 5 mean_value: 3 }", 2, 1, 2),
    "ImageData, other sizes": ("ImageData", "image_data_param { source: 'list.txt' root_folder: 'images/' }", 2, 0, 5),
    "ImageData, older fields": ("ImageData", LIST % "new_height: 6 new_width: 6 crop_size: 4 scale: 0.5 ", 2, 1, 1),
    "HDF5Data": ("HDF5Data", ROWS % "hdf5.txt", ["x", "y", "z"], 0, 4),
    "HDF5Data, one file": ("HDF5Data", ROWS % "one.txt", ["z"], 1, 3),
    "WindowData": ("WindowData", WINDOWS % ("windows.txt", "") + "transform_param { crop_size: 6 }", 2, 0, 1),
    "WindowData, scale": ("WindowData", WINDOWS % ("windows.txt", "scale: 0.5 ") + "transform_param { crop_size: 6 mean_value: 9 }", 2, 0, 1),
    "WindowData, context": ("WindowData", WINDOWS % ("windows.txt", "context_pad: 2 cache_images: true ") + "transform_param { crop_size: 9 mean_file: 'mean9.binaryproto' }", 2, 0, 1),
    "WindowData, square": ("WindowData", WINDOWS % ("windows.txt", "crop_mode: 'square' fg_fraction: 0.5 ") + "transform_param { crop_size: 7 }", 2, 1, 1),
    "WindowData, square with context": ("WindowData", WINDOWS % ("edge.txt", "crop_mode: 'square' context_pad: 1 fg_threshold: 0.6 ") + "transform_param { crop_size: 7 mean_value: 1 mean_value: 2 mean_value: 3 }", 2, 1, 1),
}


def text(case):
    kind, settings, tops, phase, passes = CASES[case]
    names = tops if isinstance(tops, list) else ["data", "label"][:tops]
    return 'layer { name: "l" type: "%s" %s %s }' % (kind, " ".join('top: "%s"' % name for name in names), settings)


def run(caffe, case):
    """{"NAME PASS": array of a top} of a case, in the folder of the files."""
    with tempfile.NamedTemporaryFile("w", suffix=".prototxt", encoding="utf-8") as f:
        f.write(text(case))
        f.flush()
        net = caffe.Net(f.name, caffe.TEST if CASES[case][3] else caffe.TRAIN)
    found = {}
    for number in range(CASES[case][4]):
        net.forward()
        found.update(("%s %d" % (name, number), blob.data.copy()) for name, blob in net.blobs.items())
    return found


def hdf5_output(caffe, folder):
    """The datasets that HDF5Output writes."""
    path = os.path.join(folder, "net.prototxt")
    with open(path, "w", encoding="utf-8") as f:
        f.write('layer { name: "x" type: "HDF5Data" top: "x" top: "y" %s } layer { name: "o" type: "HDF5Output" bottom: "x" '
                'bottom: "y" hdf5_output_param { file_name: "out.h5" } }' % (ROWS % "hdf5.txt"))
    net = caffe.Net(path, caffe.TEST)
    net.forward()
    del net         # C++ Caffe closes the file then
    with h5py.File("out.h5", "r") as file:
        return {name: file[name][...] for name in file}


# ---- files

def make_files(folder, Datum, BlobProto):
    """The sources of all cases, in the current folder of the process."""
    rng = np.random.RandomState(3)
    os.makedirs(os.path.join(folder, "images"))
    small = [rng.randint(0, 256, (3, 5, 6)).astype(np.uint8) for _ in range(7)]
    write_lmdb(os.path.join(folder, "small_lmdb"), [datum_of(Datum, image, i - 2) for i, image in enumerate(small)])
    sizes = [(3, 5, 6), (3, 5, 6), (3, 4, 3), (3, 4, 3), (3, 7, 7), (3, 7, 7)]
    write_lmdb(os.path.join(folder, "big_lmdb"), [datum_of(Datum, rng.randint(0, 256, size).astype(np.uint8), i) for i, size in enumerate(sizes)])
    floats = [Datum(channels=2, height=1, width=3, label=i, float_data=rng.randn(6).tolist()) for i in range(2)]
    write_lmdb(os.path.join(folder, "float_lmdb"), floats)
    pngs = [png(rng.randint(0, 256, (4, 5, channels)).astype(np.uint8)) for channels in (3, 1, 4, 2)]
    write_lmdb(os.path.join(folder, "coded_lmdb"), [Datum(encoded=True, data=data, label=i) for i, data in enumerate(pngs)])
    for name, shape in (("mean.binaryproto", (3, 5, 6)), ("mean9.binaryproto", (3, 12, 12))):
        mean = BlobProto(num=1, channels=shape[0], height=shape[1], width=shape[2], data=rng.uniform(90, 160, shape).ravel().tolist())
        with open(os.path.join(folder, name), "wb") as f:
            f.write(mean.SerializeToString())
    write_images(folder, rng)
    write_hdf5(folder, rng)
    write_windows(folder)


def datum_of(Datum, image, label):
    return Datum(channels=image.shape[0], height=image.shape[1], width=image.shape[2], data=image.tobytes(), label=label)


def write_lmdb(path, datums):
    env = lmdb.open(path, map_size=1 << 24)
    with env.begin(write=True) as transaction:
        for i, datum in enumerate(datums):
            transaction.put(b"%08d" % i, datum.SerializeToString())
    env.close()


def write_images(folder, rng):
    shapes = [(6, 8, 3), (9, 7, 3), (6, 8, 1), (5, 5, 3)]
    for i, shape in enumerate(shapes):
        with open(os.path.join(folder, "images", "%d a.png" % i), "wb") as f:
            f.write(png(rng.randint(0, 256, shape).astype(np.uint8)))
    os.rename(os.path.join(folder, "images", "0 a.png"), os.path.join(folder, "images", "w.png"))
    with open(os.path.join(folder, "images", "v.png"), "wb") as f:
        f.write(png(rng.randint(0, 256, (20, 24, 3)).astype(np.uint8)))
    with open(os.path.join(folder, "list.txt"), "w", encoding="utf-8") as f:
        f.write("w.png 4\n1 a.png -1\n2 a.png 0\n3 a.png 12\n")


def write_hdf5(folder, rng):
    for name, rows in (("a.h5", 3), ("b.h5", 6)):
        with h5py.File(os.path.join(folder, name), "w") as file:
            file["x"] = rng.randn(rows, 2, 3)
            file["y"] = rng.randint(0, 9, rows)
            file["z"] = rng.randn(rows, 1, 2).astype(np.float32)
    for name, files in (("hdf5.txt", "a.h5\nb.h5\n"), ("one.txt", "b.h5")):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.write(files)


def write_windows(folder):
    """One window of an object and one of the background, so that what is chosen at random is known."""
    with open(os.path.join(folder, "windows.txt"), "w", encoding="utf-8") as f:
        f.write("# 0\nw.png\n3 6 8\n2\n3 0.7 1 0 6 4\n2 0.1 0 1 7 5\n# 1\nv.png\n3 20 24\n0\n")
    with open(os.path.join(folder, "edge.txt"), "w", encoding="utf-8") as f:
        f.write("# 0\nw.png\n3 6 8\n0\n# 1\nv.png\n3 20 24\n3\n1 0.9 15 0 23 18\n4 0.55 5 5 9 9\n4 0.2 0 12 8 19\n")


def png(image):
    """The bytes of a PNG file of (H, W, C), C 1 gray, 2 gray and alpha, 3 RGB or 4 RGB and alpha."""
    height, width, channels = image.shape
    rows = b"".join(b"\0" + row.tobytes() for row in image)
    head = struct.pack(">IIBBBBB", width, height, 8, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
                                           for kind, data in chunks)


if __name__ == "__main__":
    import caffe
    from caffe.proto import caffe_pb2
    target = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as here:
        make_files(here, caffe_pb2.Datum, caffe_pb2.BlobProto)
        os.chdir(here)
        arrays = {"%s|%s" % (case, key): array for case in sorted(CASES) for key, array in run(caffe, case).items()}
        arrays.update(("HDF5Output|" + name, array) for name, array in hdf5_output(caffe, here).items())
        os.chdir("/")
    np.savez_compressed(target, **arrays)
