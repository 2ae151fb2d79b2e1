"""Image blobs of the train and test side, against the recorded vectors; images that cannot be read."""
import hashlib

import cv2
import numpy as np
import pytest
from datasets.image_files import image_size
from fast_rcnn.config import cfg
from fast_rcnn.test import _get_image_blob, _get_rois_blob
from PIL import Image
from support.reference import lib_case, shared
from utils.blob import im_list_to_blob, prep_im_for_blob
from utils.errors import UserError
from utils.images import read_image

IDS = ["000010", "005137", "006500", "007332", "000206", "004712"]
JPEGS = ("data", "voc07mini", "VOCdevkit2007", "VOC2007", "JPEGImages")


def read(image_id):
    """The image; id with a final f: mirrored."""
    im = read_image(str(shared(*JPEGS, image_id[:6] + ".jpg")))
    return im[:, ::-1] if image_id.endswith("f") else im


def blob_of(im, target_size, max_size):
    im, im_scale = prep_im_for_blob(im, cfg.PIXEL_MEANS, target_size, max_size)
    return im_list_to_blob([im]), im_scale


def check(blob, z, key):
    """Shape, mean and std of each channel, and a crop, as recorded under key."""
    y, x = z[key + ".crop_yx"]
    assert blob.dtype == np.float32
    assert blob.shape == tuple(z[key + ".shape"])
    np.testing.assert_allclose(blob.mean(axis=(2, 3), dtype=np.float64), z[key + ".mean"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(blob.std(axis=(2, 3), dtype=np.float64), z[key + ".std"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(blob[:, :, y:y + 16, x:x + 16], z[key + ".crop"], rtol=0, atol=2e-3)


@pytest.mark.parametrize("image_id", IDS)
def test_recorded_photographs(image_id):
    z = lib_case("c3_blobs.npz")
    assert z["ids"].tolist() == IDS
    im = read(image_id)
    if hashlib.sha1(im.tobytes()).hexdigest() != z["im%s.jpeg_sha1" % image_id]:
        pytest.skip("this JPEG decoder differs from the recorded one")
    for target_size, max_size in ((600, 1000), (300, 500)):
        for flip in ("", "f"):
            key = "im%s.s%d%s" % (image_id, target_size, flip)
            blob, im_scale = blob_of(read(image_id + flip), target_size, max_size)
            assert im_scale == z[key + ".im_scale"]
            check(blob, z, key)


def test_recorded_pair():
    """Two images of different size in one blob."""
    z = lib_case("c3_blobs.npz")
    pair = [prep_im_for_blob(read(image_id), cfg.PIXEL_MEANS, size, 500)
            for image_id, size in zip(z["pair.ids"], z["pair.scales"])]
    np.testing.assert_allclose([im_scale for _, im_scale in pair], z["pair.im_scales"])
    check(im_list_to_blob([im for im, _ in pair]), z, "pair")


@pytest.mark.parametrize("k", range(5))
def test_recorded_small_images(k):
    z = lib_case("c3_blobs.npz")
    blob, im_scale = blob_of(z["syn%d.image" % k], *z["syn%d.target_max" % k])
    assert im_scale == pytest.approx(z["syn%d.im_scale" % k])
    assert blob.shape == z["syn%d.blob" % k].shape
    np.testing.assert_allclose(blob, z["syn%d.blob" % k], rtol=0, atol=2e-3)


@pytest.mark.parametrize("key", ["test1", "test3"])
def test_recorded_test_side(key, monkeypatch):
    """One scale, and a pyramid whose level follows from the area of each RoI."""
    z = lib_case("c3_blobs.npz")
    monkeypatch.setattr(cfg.TEST, "SCALES", tuple(z[key + ".scales"].tolist()))
    monkeypatch.setattr(cfg.TEST, "MAX_SIZE", 260)
    data, im_scales = _get_image_blob(z["test.image"])
    np.testing.assert_allclose(im_scales, z[key + ".im_scales"])
    check(data, z, key)
    rois = _get_rois_blob(z["test.rois"], im_scales)
    assert rois.dtype == np.float32
    np.testing.assert_allclose(rois, z[key + ".rois_blob"], rtol=0, atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 3000, 3), (3000, 1, 3), (2, 5000, 3)])
def test_a_line_stays_a_line(shape):
    im, scale = prep_im_for_blob(np.zeros(shape, np.uint8), 0, 600, 1000)
    assert max(im.shape) == 1000 and min(im.shape[:2]) == 1 and scale == 1000 / max(shape)


def test_the_image_stays_as_it_is_and_the_padding_is_zero():
    im = np.full((10, 20, 3), 50, np.float32)
    scaled, im_scale = prep_im_for_blob(im, [1.0, 2.0, 3.0], 20, 1000)
    assert (im == 50).all() and im_scale == 2 and scaled.shape == (20, 40, 3)
    blob = im_list_to_blob([scaled, scaled[:5, :7]])
    np.testing.assert_array_equal(blob[0, :, 3, 3], [49, 48, 47])
    assert blob.shape == (2, 3, 20, 40) and not blob[1, :, 5:].any() and not blob[1, :, :, 7:].any()


def test_images_that_cannot_be_read(tmp_path):
    im = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), im)
    data = path.read_bytes()
    np.testing.assert_array_equal(read_image(str(path)), cv2.imread(str(path)))
    for content in (b"", b"no image at all", data[:len(data) // 2], data[:-10]):
        path.write_bytes(content)
        with pytest.raises(UserError, match="a.jpg .* is cut off, corrupt or no image"):
            read_image(str(path))
    with pytest.raises(UserError, match="b.jpg cannot be read: No such file"):
        read_image(str(tmp_path / "b.jpg"))


def test_pillows_limit_is_lifted_for_the_header_only(tmp_path, monkeypatch):
    """A picture beyond the limit of the process is read, and the limit of the process stays."""
    path = tmp_path / "large.png"
    assert cv2.imwrite(str(path), np.zeros((40, 50, 3), np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert image_size(str(path)) == (50, 40)
    assert Image.MAX_IMAGE_PIXELS == 10
