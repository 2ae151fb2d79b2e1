"""caffe detect: the predictions of a Detector for windows of images."""
import csv
import io
import os
import time

from ..common import CaffeError
from ..util.files import write_atomically
from .flags import Flag, need_arguments
from .image_model import MODEL_FLAGS, model_settings, need_file, use_mode

USAGE = """INPUT OUTPUT -model_def deploy.prototxt -pretrained_model net.caffemodel -crop_mode list

INPUT is a .csv with the columns filename,ymin,xmin,ymax,xmax, a row for each window; with -crop_mode selective_search
a .txt with a file name a line, or an image.  OUTPUT is a .csv, or a .h5 (by pandas)."""
COORDINATES = ("ymin", "xmin", "ymax", "xmax")
FLAGS = [*MODEL_FLAGS,
         Flag("crop_mode", "selective_search", "source of the windows: list or selective_search",
              ("list", "selective_search")),
         Flag("context_pad", 16, "pixels of context around a window, in the net's input")]


def run(flags, arguments):
    """Write the windows with their predictions."""
    need_arguments(arguments, ("INPUT", "OUTPUT"))
    source, target = arguments
    need_file(source)
    if os.path.splitext(target)[1] not in (".csv", ".h5"):
        raise CaffeError("%s: the output must be a .csv or .h5 file" % target)
    if target.endswith(".h5"):
        _pandas(target)
    from .. import Detector
    use_mode(flags)
    detector = Detector(flags.model_def, flags.pretrained_model, context_pad=flags.context_pad, **model_settings(flags))
    print("Loading input...")
    start = time.time()
    if flags.crop_mode == "list":
        detections = detector.detect_windows(read_windows(source))
    else:
        detections = detector.detect_selective_search(_image_names(source))
    print("Processed %d windows in %.3f s." % (len(detections), time.time() - start))
    (_write_csv if target.endswith(".csv") else _write_h5)(target, detections)
    print("Saved to %s" % target)


def read_windows(path):
    """[(file name, [windows (ymin, xmin, ymax, xmax)])] of a .csv, images in the order of their first rows."""
    with open(path, encoding="utf-8", newline="") as f:
        reader = csv.DictReader(f)
        missing = [name for name in ("filename", *COORDINATES) if name not in (reader.fieldnames or ())]
        if missing:
            raise CaffeError("%s: the columns %s are missing; its first line must name filename,%s"
                             % (path, ", ".join(missing), ",".join(COORDINATES)))
        windows = {}
        for row in reader:
            windows.setdefault(row["filename"], []).append(_window(path, reader.line_num, row))
    return list(windows.items())


def _window(path, line, row):
    try:
        return [int(float(row[name])) for name in COORDINATES]
    except (TypeError, ValueError):
        got = ",".join(str(row[name]) for name in COORDINATES)
        raise CaffeError("%s:%d: expected four numbers %s, got %s"
                         % (path, line, ",".join(COORDINATES), got)) from None


def _image_names(path):
    if not path.endswith(".txt"):
        return [path]
    with open(path, encoding="utf-8") as f:
        return [line.strip() for line in f if line.strip()]


def _write_csv(path, detections):
    """One row a window: filename, window, prediction (class0, class1, ... are its numbers)."""
    classes = len(detections[0]["prediction"]) if detections else 0
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["filename", *COORDINATES, *("class%d" % k for k in range(classes))])
    for found in detections:
        writer.writerow([found["filename"], *found["window"], *found["prediction"]])
    write_atomically(path, [text.getvalue().encode()])


def _pandas(path):
    try:
        import pandas
        import tables  # noqa: F401  (what to_hdf needs)
    except ImportError as e:
        raise CaffeError("%s: a .h5 needs the packages pandas and tables (%s is missing); install them, or write "
                         "a .csv" % (path, e.name)) from None
    return pandas


def _write_h5(path, detections):
    """A pandas DataFrame under the key df, indexed by filename, as Caffe's."""
    frame = _pandas(path).DataFrame(detections)
    frame[list(COORDINATES)] = [list(found["window"]) for found in detections]
    frame.drop(columns="window").set_index("filename").to_hdf(path, key="df", mode="w")
