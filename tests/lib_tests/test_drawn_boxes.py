"""Boxes drawn on another form of a picture: turned by its orientation, or of another size; in VOC's and COCO's layout."""
import io
import json
import shutil
import struct
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from datasets.factory import get_imdb
from datasets.image_files import image_geometry, turned
from fast_rcnn.detections import save_detections
from PIL import Image
from run_report.analysis import judge_runs
from run_report.verdicts import RIGHT
from support.coco_files import edit_json, make_coco
from support.settings import settings
from support.voc_folder import make_voc_folder
from utils.errors import UserError
from utils.images import read_image

# What (21, 21, 61, 71) of a picture of 120 x 100, 1-based, is in the picture as it is read, by orientation; worked out
# by hand: x from the left is 20 to 60, from the right 59 to 99; y from the top 20 to 70, from the bottom 29 to 79.
TURNED = {1: [20, 20, 60, 70], 2: [59, 20, 99, 70], 3: [59, 29, 99, 79], 4: [20, 29, 60, 79], 5: [20, 20, 70, 60],
          6: [29, 20, 79, 60], 7: [29, 59, 79, 99], 8: [20, 59, 70, 99]}
FORMS = {"JPEG": {"quality": 90}, "MPO": {"quality": 90}, "PNG": {}, "WEBP": {"lossless": True}, "TIFF": {},
         "AVIF": {"quality": 90}, "BMP": {}, "GIF": {}, "PPM": {}, "JPEG2000": {}}


def picture(width=120, height=100):
    """Grey, with a red box at (20, 20, 60, 70) of 120 x 100, or at the same place of another size."""
    image = np.full((height, width, 3), 128, np.uint8)
    image[height // 5:height * 71 // 100, width // 6:width * 61 // 120] = (255, 0, 0)
    return image


def save(path, image, orientation=None, form="JPEG"):
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.fromarray(image).save(path, form, exif=exif, **FORMS[form])


def voc(root, size, box=(21, 21, 61, 71), image=None, orientation=None):
    """imdb name of one image `a`, whose annotation says `size`, (width, height) as text or None."""
    folder = make_voc_folder(root / "toy", {"a": (120, 100, [("red", box)])}, "test", ["red"])
    save(folder / "JPEGImages" / "a.jpg", picture() if image is None else image, orientation)
    xml = folder / "Annotations" / "a.xml"
    tags = "" if size is None else "<width>%s</width><height>%s</height>" % size
    xml.write_text(xml.read_text().replace("<width>120</width><height>100</height>", tags))
    return "voc:%s@test" % folder


def coco(root, size, box=(21, 21, 61, 71), image=None, orientation=None):
    bbox = [box[0] - 1, box[1] - 1, box[2] - box[0] + 1, box[3] - box[1] + 1]
    name = make_coco(root / "toy", {"a.jpg": (120, 100, [{"name": "red", "bbox": bbox}])}, {"red": 1})
    save(root / "toy" / "images" / "a.jpg", picture() if image is None else image, orientation)
    said = dict(zip(("width", "height"), size)) if size else {}

    def change(tree):
        tree["images"][0] = {"id": 10, "file_name": "a.jpg", **said}

    edit_json(root / "toy" / "trainval.json", change)
    return name


LAYOUTS = pytest.mark.parametrize("make", [voc, coco])


def gt_box(name):
    return get_imdb(name).gt_roidb()[0]["boxes"].tolist()


def score(name, out, box):
    """AP of a detection at box, 0-based."""
    imdb = get_imdb(name)
    return imdb.evaluate_detections([[[]], [np.array([[*box, .9]], np.float32)]], str(out))


def refused(name, out, *words):
    """gt_roidb and scoring give a problem of one line with all words; returns it."""
    for call in (lambda: gt_box(name), lambda: score(name, out, [0, 0, 9, 9])):
        with pytest.raises(UserError) as caught:
            call()
        message = str(caught.value)
        assert "\n" not in message and all(word in message for word in words), message
    return message


# ---- orientations ----------------------------------------------------------------------------------------------------

@LAYOUTS
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_drawn_before_the_picture_is_turned_turn_with_it(own_root, make, orientation):
    """Before: [20, 20, 60, 70] of the turned picture, in VOC's layout without a word."""
    name = make(own_root, (120, 100), orientation=orientation)
    assert gt_box(name) == [TURNED[orientation]]
    assert score(name, own_root / "out", TURNED[orientation]) == pytest.approx(1)
    entry = get_imdb(name).gt_roidb()[0]
    assert (entry["width"], entry["height"]) == (100, 120) and entry["seg_areas"].tolist() == [41 * 51]


@LAYOUTS
@pytest.mark.parametrize("setting", ["", "stored", "turned"])
def test_boxes_drawn_after_the_picture_is_turned_stay(own_root, make, setting):
    """The size tells it, whatever is set."""
    name = make(own_root, (100, 120), orientation=6)
    with settings({"BOXES_DRAWN_ON": setting}):
        assert gt_box(name) == [[20, 20, 60, 70]]
        assert score(name, own_root / "out", [20, 20, 60, 70]) == pytest.approx(1)


@LAYOUTS
@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_a_size_that_fits_both_needs_the_setting(own_root, make, orientation):
    name = make(own_root, (120, 100), orientation=orientation)
    refused(name, own_root / "out", "EXIF orientation %d" % orientation, "BOXES_DRAWN_ON", "a.")
    for setting, box in (("stored", TURNED[orientation]), ("turned", [20, 20, 60, 70])):
        with settings({"BOXES_DRAWN_ON": setting}):
            assert gt_box(name) == [box]
            assert score(name, own_root / "out", box) == pytest.approx(1)


@LAYOUTS
@pytest.mark.parametrize("orientation", [6, 8])
def test_square_pictures_need_the_setting(own_root, make, orientation):
    image = picture()[:100, :100]
    name = make(own_root, (100, 100), image=image, orientation=orientation)
    refused(name, own_root / "out", "EXIF orientation %d" % orientation, "BOXES_DRAWN_ON")
    with settings({"BOXES_DRAWN_ON": "stored"}):
        box = [29, 20, 79, 60] if orientation == 6 else [20, 39, 70, 79]
        assert gt_box(name) == [box] and score(name, own_root / "out", box) == pytest.approx(1)


@LAYOUTS
@pytest.mark.parametrize("size", [None, (0, 0)])
def test_without_a_size_boxes_are_taken_as_they_stand_unless_it_is_set(own_root, make, size):
    name = make(own_root, size, orientation=6)
    assert gt_box(name) == [[20, 20, 60, 70]]
    with settings({"BOXES_DRAWN_ON": "stored"}):
        assert gt_box(name) == [TURNED[6]] and score(name, own_root / "out", TURNED[6]) == pytest.approx(1)
    name = make(own_root, size)
    assert gt_box(name) == [[20, 20, 60, 70]]


def test_pictures_without_objects_need_no_setting(own_root):
    folder = make_voc_folder(own_root / "toy", {"a": (120, 100, [])}, "test", ["red"])
    save(folder / "JPEGImages" / "a.jpg", picture(), 3)
    assert len(get_imdb("voc:%s@test" % folder).gt_roidb()[0]["boxes"]) == 0


@LAYOUTS
def test_boxes_a_pixel_outside_are_clipped_before_they_turn(own_root, make, capsys):
    name = make(own_root, (120, 100), box=(21, 21, 121, 101), orientation=6)
    assert gt_box(name) == [[0, 20, 79, 119]] and "1 ground-truth boxes reached" in capsys.readouterr().out


# ---- other sizes -----------------------------------------------------------------------------------------------------

@LAYOUTS
def test_another_size_is_a_problem_until_boxes_may_be_scaled(own_root, make):
    """Before: VOC's boxes were used unscaled, without a word; COCO's had no setting to help."""
    name = make(own_root, (60, 50), box=(11, 11, 31, 36))
    refused(name, own_root / "out", "it says 60 x 50 pixels, the file has 120 x 100", "SCALE_BOXES_TO_IMAGE True")
    with settings({"SCALE_BOXES_TO_IMAGE": True}):
        entry = get_imdb(name).gt_roidb()[0]
        assert entry["boxes"].tolist() == [[20, 20, 61, 71]] and entry["seg_areas"] == pytest.approx(42 * 52)
        assert score(name, own_root / "out", [20, 20, 61, 71]) == pytest.approx(1)
    refused(name, own_root / "out", "SCALE_BOXES_TO_IMAGE")         # what was cached with the setting is not used


@LAYOUTS
@pytest.mark.parametrize("size, box", [((60, 50), TURNED[6]), ((50, 60), None)])
def test_another_size_of_a_turned_picture(own_root, make, size, box):
    """Its shape tells on which one the boxes were drawn."""
    name = make(own_root, size, box=(11, 11, 31, 36), orientation=6)
    with settings({"SCALE_BOXES_TO_IMAGE": True}):
        scaled = [28, 20, 79, 61] if box else [20, 20, 61, 71]
        assert gt_box(name) == [scaled] and score(name, own_root / "out", scaled) == pytest.approx(1)


@LAYOUTS
def test_another_size_of_a_mirrored_picture_needs_both_settings(own_root, make):
    name = make(own_root, (60, 50), box=(11, 11, 31, 36), orientation=3)
    with settings({"SCALE_BOXES_TO_IMAGE": True}):
        refused(name, own_root / "out", "BOXES_DRAWN_ON")
        with settings({"BOXES_DRAWN_ON": "stored"}):
            assert gt_box(name) == [[58, 28, 99, 79]]


@LAYOUTS
@pytest.mark.parametrize("size", [(100, 120), (-60, 50), (0, 100)])
def test_sizes_that_no_scale_mends(own_root, make, size):
    name = make(own_root, size)
    with settings({"SCALE_BOXES_TO_IMAGE": True}):
        refused(name, own_root / "out", "it says %d x %d pixels, the file has 120 x 100; correct it" % size)


def test_a_report_reads_annotations_as_its_test_did(own_root):
    name = voc(own_root, (60, 50), box=(11, 11, 31, 36))
    save_detections(own_root / "detections.npz", [[[]], [np.array([[20, 20, 61, 71, .9]])]], get_imdb(name))
    with settings({}):
        tested = {"imdb": name, "config": {"SCALE_BOXES_TO_IMAGE": True}}
        (judged,) = judge_runs([SimpleNamespace(tested=tested, results=own_root)])
    assert judged.truths[0].boxes.tolist() == [[20, 20, 61, 71]] and judged.verdicts.kinds.tolist() == [RIGHT]


def test_words_for_a_size(own_root):
    refused(voc(own_root, ("wide", "100")), own_root / "out", "it says wide x 100 pixels, the file has 120 x 100")
    assert gt_box(voc(own_root, ("120.0", " 100 "))) == [[20, 20, 60, 70]]
    assert gt_box(voc(own_root, ("120", ""))) == [[20, 20, 60, 70]]


def test_a_crowd_moves_with_its_picture(own_root):
    name = coco(own_root, (120, 100), orientation=6)
    edit_json(own_root / "toy" / "trainval.json", lambda tree: tree["annotations"].append(
        dict(tree["annotations"][0], id=9, iscrowd=1, bbox=[80, 0, 40, 50])))
    assert gt_box(name) == [TURNED[6], [50, 80, 99, 119]]
    imdb = get_imdb(name)
    found = np.array([[*TURNED[6], .5], [60, 85, 90, 110, .9]], np.float32)
    assert imdb.evaluate_detections([[[]], [found]], str(own_root / "out")) == pytest.approx(1)     # .9 lies in the crowd
    detections = json.loads((own_root / "out" / "results" / "detections_trainval_results.json").read_text())
    assert detections[0]["bbox"] == [29, 20, 51, 41]


# ---- sizes and orientations of files ---------------------------------------------------------------------------------

@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("orientation", [None, *range(1, 9)])
@pytest.mark.parametrize("square", [False, True])
def test_geometry_is_that_of_the_picture_as_read(own_root, form, orientation, square):
    """Where the red box is in the picture that is read tells how it was turned."""
    path, image = str(own_root / "a.jpg"), picture()[:, :100 if square else 120]
    save(path, image, orientation, form)
    read, geometry = read_image(path), image_geometry(path)
    assert read.shape[1::-1] == geometry.size
    expected = turned(image, geometry.orientation)[:, :, ::-1]
    assert np.abs(read.astype(int) - expected).mean() < 4        # of another orientation it is 30 or more
    assert (geometry.orientation == (orientation or 1)) or form not in ("JPEG", "MPO", "PNG", "WEBP", "TIFF")


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK"])
@pytest.mark.parametrize("orientation", [3, 6])
def test_geometry_of_other_tiffs(own_root, mode, orientation):
    """Pillow turns some of them wrongly."""
    path, exif = str(own_root / "a.jpg"), Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(picture()).convert(mode)
    image.save(path, "TIFF", exif=exif)
    read, geometry = read_image(path), image_geometry(path)
    assert geometry == (*read.shape[1::-1], orientation)
    np.testing.assert_array_equal(turned(np.asarray(image.convert("RGB")), orientation)[:, :, ::-1], read)


@pytest.mark.parametrize("orientation", [3, 6])
def test_geometry_of_a_large_photograph(own_root, orientation):
    path = str(own_root / "a.jpg")
    save(path, picture(1201, 803), orientation)
    assert image_geometry(path) == (*read_image(path).shape[1::-1], orientation)


@pytest.mark.parametrize("tag", [0, 9, 60000])
def test_an_orientation_that_is_none(own_root, tag):
    path = str(own_root / "a.jpg")
    save(path, picture(), tag)
    assert image_geometry(path) == (*read_image(path).shape[1::-1], 1)


def test_metadata_that_cannot_be_read_tell_no_orientation(own_root):
    """Pillow raises SyntaxError on such a chunk of a PNG that OpenCV reads."""
    path = own_root / "a.png"
    save(path, picture(), form="PNG")
    data, text = path.read_bytes(), b"eXIfnot EXIF"
    at = data.index(b"IDAT") - 4
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    path.write_bytes(data[:at] + chunk + data[at:])
    assert image_geometry(str(path)) == (*read_image(str(path)).shape[1::-1], 1)


def test_a_format_that_opencv_does_not_read_is_named(own_root):
    path = str(own_root / "a.jpg")
    Image.fromarray(picture()).save(path, "TGA")
    with pytest.raises(UserError, match="a.jpg .TGA. cannot be read by OpenCV"):
        image_geometry(path)


def test_an_avif_called_jpg_trains_and_scores(own_root):
    """OpenCV does not turn it; its roidb said 100 x 120, the picture was 120 x 100."""
    name = voc(own_root, (120, 100))
    save(own_root / "toy" / "JPEGImages" / "a.jpg", picture(), 6, "AVIF")
    entry = get_imdb(name).gt_roidb()[0]
    assert (entry["width"], entry["height"]) == (120, 100) and gt_box(name) == [[20, 20, 60, 70]]
    assert score(name, own_root / "out", [20, 20, 60, 70]) == pytest.approx(1)


def test_placed_boxes_hold_the_object(own_root):
    """In the pixels: the box of each orientation is the red of the picture that is read."""
    for orientation in range(1, 9):
        shutil.rmtree(own_root / "toy", ignore_errors=True)
        name = voc(own_root, (120, 100), orientation=orientation)
        with settings({"BOXES_DRAWN_ON": "stored"}):
            entry = get_imdb(name).gt_roidb()[0]
        red = read_image(get_imdb(name).image_path_at(0))[:, :, 2] > 190
        ys, xs = np.where(red)
        assert np.abs(entry["boxes"][0] - [xs.min(), ys.min(), xs.max(), ys.max()]).max() <= 1


def test_an_image_in_memory_is_turned_as_pillow_does():
    image = picture()[:, :, :1].repeat(3, axis=2)
    image[:10, :20] = 7
    for orientation in range(1, 9):
        exif, data = Image.Exif(), io.BytesIO()
        exif[0x0112] = orientation
        Image.fromarray(image).save(data, "PNG", exif=exif)
        np.testing.assert_array_equal(turned(image, orientation),
                                      cv2.imdecode(np.frombuffer(data.getvalue(), np.uint8), cv2.IMREAD_COLOR))
