"""caffe classify: the predictions of a Classifier for an image, a folder of images or an array of them."""
import glob
import io
import os
import time

import numpy as np

from ..common import CaffeError
from ..util.files import write_atomically
from .flags import Flag, need_arguments
from .image_model import MODEL_FLAGS, model_settings, need_file, numbers, read_array, use_mode

USAGE = """INPUT OUTPUT -model_def deploy.prototxt -pretrained_model net.caffemodel

INPUT is an image, a folder of images, or a .npy with an array of images (N, H, W, C); OUTPUT, a .npy, gets the
predictions (N, classes)."""
FLAGS = [*MODEL_FLAGS,
         Flag("center_only", False, "take the centre of each image, not the mean over ten crops"),
         Flag("images_dim", "256,256", "height,width that images are resized to"),
         Flag("ext", "jpg", "extension of the images of a folder")]


def run(flags, arguments):
    """Write the predictions."""
    need_arguments(arguments, ("INPUT", "OUTPUT"))
    source, target = (os.path.expanduser(name) for name in arguments)
    need_file(source)
    image_dims = numbers(flags, "images_dim")
    if len(image_dims) != 2:
        raise CaffeError("-images_dim %s: expected height,width" % flags.images_dim)
    from .. import Classifier
    use_mode(flags)
    classifier = Classifier(flags.model_def, flags.pretrained_model, image_dims=image_dims, **model_settings(flags))
    inputs = load_inputs(source, flags.ext)
    print("Classifying %d inputs." % len(inputs))
    start = time.time()
    predictions = classifier.predict(inputs, not flags.center_only)
    print("Done in %.2f s." % (time.time() - start))
    print("Saving results into %s" % target)
    _save(target, predictions)


def _save(path, array):
    """Save as np.save does, which appends .npy to a name without it, completely or not at all."""
    content = io.BytesIO()
    np.save(content, array)
    write_atomically(path if path.endswith(".npy") else path + ".npy", [content.getvalue()])


def load_inputs(source, ext):
    """The images in a .npy file, in the files *.`ext` of a folder sorted by name, or in one image file."""
    from ..io import load_image
    if source.endswith("npy"):
        print("Loading file: %s" % source)
        return read_array(source)
    if not os.path.isdir(source):
        print("Loading file: %s" % source)
        return [load_image(source)]
    print("Loading folder: %s" % source)
    files = sorted(glob.glob(os.path.join(glob.escape(source), "*." + ext)))
    if not files:
        raise CaffeError("%s: contains no *.%s files; set -ext" % (source, ext))
    return [load_image(file) for file in files]
