"""The embedded demo data set: its glyphs, its determinism, its layout, and what must be in it for mining to pay."""
import json
import xml.etree.ElementTree as ElementTree

import cv2
import numpy as np
import pytest
from digits import dataset
from digits.glyphs import CLASSES, HALVES, KINDS, glyph, letter_cell, lookalike, suitable
from digits.patches import SIDE, augment, make_patches
from digits.scenes import scene
from digits.sources import digit_cells, photographs
from digits.statistics import proposal_recall, summary
from scipy.io import loadmat
from utils import selective_search
from utils.cython_bbox import bbox_overlaps
from utils.errors import UserError

COUNTS = {"trainval": 12, "test": 6}


def files_of(folder):
    """{relative name: bytes} of a folder; .mat files without the date in their first 116 bytes."""
    return {str(path.relative_to(folder)): path.read_bytes()[116 * (path.suffix == ".mat"):]
            for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "digits"
    dataset.make(out, 5, COUNTS, workers=1)
    return out


def annotations(out):
    return [ElementTree.parse(path) for path in sorted((out / "Annotations").glob("*.xml"))]


# ---- determinism and reuse

def test_same_seed_same_bytes_with_any_number_of_workers(made, tmp_path):
    dataset.make(tmp_path / "digits", 5, COUNTS, workers=2)
    assert files_of(tmp_path / "digits") == files_of(made)


def test_another_seed_gives_another_set(made, tmp_path):
    settings, _ = dataset.make(tmp_path / "digits", 6, {"trainval": 2, "test": 1}, workers=1)
    assert settings["content"] != json.loads((made / "settings.json").read_text())["content"]
    name = "JPEGImages/trainval_00000.jpg"
    assert (tmp_path / "digits" / name).read_bytes() != (made / name).read_bytes()


def test_a_complete_set_is_reused_and_a_damaged_one_made_again(made, tmp_path):
    out, counts = tmp_path / "digits", {"trainval": 2, "test": 1}
    assert dataset.make(out, 5, counts, workers=1)[1]
    picture = out / "JPEGImages" / "trainval_00001.jpg"
    whole, time = picture.read_bytes(), picture.stat().st_mtime_ns
    assert not dataset.make(out, 5, counts, workers=1)[1]
    assert picture.stat().st_mtime_ns == time
    picture.write_bytes(whole[:100])
    assert dataset.make(out, 5, counts, workers=1)[1]
    assert picture.read_bytes() == whole


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path, monkeypatch):
    out, counts, done = tmp_path / "digits", {"trainval": 3, "test": 1}, []
    real = dataset.make_image

    def stops_after_two(*arguments):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(arguments[3:])
        real(*arguments)
    monkeypatch.setattr(dataset, "make_image", stops_after_two)
    with pytest.raises(KeyboardInterrupt):
        dataset.make(out, 5, counts, workers=1)
    assert not (out / "settings.json").exists()
    again = []
    monkeypatch.setattr(dataset, "make_image", lambda *a: (again.append(a[3:]), real(*a)))
    dataset.make(out, 5, counts, workers=1)
    assert again == [("trainval", 2), ("test", 0)]
    assert not list(out.glob("parts-*"))


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UserError, match="thesis.tex"):
        dataset.make(tmp_path, 5, {"trainval": 1, "test": 1}, workers=1)
    assert (tmp_path / "thesis.tex").read_text() == "precious"


# ---- layout

def test_layout_is_that_of_voc(made):
    assert (made / "classes.txt").read_text().split() == list(CLASSES)
    for split, count in COUNTS.items():
        names = (made / "ImageSets" / "Main" / (split + ".txt")).read_text().split()
        assert len(names) == count
        mat = loadmat(made / "selective_search_data" / ("digits_%s.mat" % split))
        assert [str(cell[0]) for cell in mat["images"].ravel()] == names
        for name, boxes in zip(names, mat["boxes"].ravel()):
            height, width = cv2.imread(str(made / "JPEGImages" / (name + ".jpg"))).shape[:2]
            assert boxes.dtype == np.uint16 and 0 < len(boxes) <= dataset.MAX_PROPOSALS
            assert (boxes[:, :2] >= 1).all() and (boxes[:, 2] <= height).all() and (boxes[:, 3] <= width).all()
            assert (boxes[:, 2:] - boxes[:, :2] + 1 >= dataset.MIN_SIDE).all()


def test_annotations_have_what_voc_has(made):
    for tree in annotations(made):
        width, height = (int(tree.findtext("size/" + side)) for side in ("width", "height"))
        for node in tree.findall("object"):
            assert node.findtext("name") in CLASSES and node.findtext("pose")
            assert {node.findtext("truncated"), node.findtext("difficult")} <= {"0", "1"}
            x1, y1, x2, y2 = (int(node.findtext("bndbox/" + side)) for side in ("xmin", "ymin", "xmax", "ymax"))
            assert 1 <= x1 < x2 <= width and 1 <= y1 < y2 <= height


def test_counts_and_recall(made):
    counts = summary(made, "trainval")
    trees = [tree for tree in annotations(made) if tree.findtext("filename").startswith("trainval")]
    assert counts["images"] == len(trees) == 12
    assert counts["objects"] == sum(len(tree.findall("object")) for tree in trees) > 0
    assert counts["lookalikes"] > 0
    recalls = np.concatenate([proposal_recall(made, split) for split in COUNTS])
    assert np.mean(recalls >= 0.5) >= 0.9


# ---- sources

def test_training_and_test_share_neither_scans_nor_photograph_regions():
    scans = [{cell.tobytes() for cells in digit_cells(split, 3) for cell in cells} for split in ("trainval", "test")]
    assert len(scans[0]) > 1100 and len(scans[1]) > 550 and not scans[0] & scans[1]
    for left, right in zip(photographs("trainval"), photographs("test")):
        assert left.shape[0] == right.shape[0] == 400
        assert abs(right.shape[1] / (left.shape[1] + right.shape[1]) - 1 / 3) < 0.01
        assert min(left.shape[1], right.shape[1]) >= 130


# ---- glyphs and scenes

@pytest.mark.parametrize("height", [20, 47, 110])
def test_glyph_has_the_height_asked_for_and_soft_edges(height):
    mask = glyph(digit_cells("test", 3)[3][0], height)
    assert abs(mask.shape[0] - height) <= 2
    assert mask.max() == 1 and mask.min() == 0 and ((mask > 0.1) & (mask < 0.9)).any()
    assert (mask.max(axis=0) > 0.25).all() and (mask.max(axis=1) > 0.25).all()  # tight


def test_bolder_glyphs_have_more_ink():
    cell = digit_cells("test", 3)[2][0]
    shares = [float(glyph(cell, 60, thickness).mean()) for thickness in (0.35, 0.5, 0.65)]
    assert shares == sorted(shares) and shares[2] > 1.2 * shares[0]


def test_no_lookalike_is_a_digit():
    assert not {0, 1, 8} & {*suitable("mirrored"), *suitable("quarter_turn"), *suitable("half_turn")}
    assert not {6, 9} & set(suitable("half_turn"))
    assert not {1, 8} & set(HALVES)


@pytest.mark.parametrize("kind", KINDS)
def test_lookalikes_differ_from_the_digit_they_come_from(kind):
    rng = np.random.default_rng(0)
    digit = suitable(kind)[0]
    cell = digit_cells("test", 3)[digit][0]
    mark = lookalike(kind, digit, cell, rng)
    assert mark.shape == (8, 8) and 0 <= mark.min() and mark.max() <= 1
    assert np.abs(mark - cell).max() > 0.5


def test_letters_are_jittered():
    rng = np.random.default_rng(0)
    assert np.abs(letter_cell("W", rng) - letter_cell("W", rng)).max() > 0.1


def test_marks_of_a_scene_do_not_touch():
    cells, photos = digit_cells("test", 3), photographs("test")
    numbers = []
    for index in range(40):
        image, objects, others = scene(cells, photos, np.random.default_rng(index))
        numbers.append(len(objects))
        cover = np.zeros(image.shape[:2], int)
        for mark in objects + others:
            x1, y1, x2, y2 = mark["box"]
            cover[y1:y2 + 1, x1:x2 + 1] += 1
        assert cover.max(initial=0) <= 1
    assert max(numbers) <= 4 and np.mean(np.array(numbers) >= 1) > 0.8


# ---- selective search

@pytest.mark.parametrize("mode", ["quick", "compact", "fast"])
def test_selective_search_finds_a_square_and_repeats_itself(mode):
    image = np.full((90, 120, 3), 40, np.uint8)
    image[20:60, 30:80] = (30, 200, 220)
    boxes = selective_search.boxes(image, mode)
    assert boxes.dtype == np.float32 and boxes.shape[1] == 4
    assert np.abs(boxes - (30, 20, 79, 59)).max(axis=1).min() <= 1
    assert np.array_equal(boxes, selective_search.boxes(image, mode))


def test_selective_search_names_a_wrong_mode_or_image():
    with pytest.raises(UserError, match="unknown mode 'slow'.*quick, compact, fast, quality"):
        selective_search.boxes(np.zeros((20, 20, 3), np.uint8), "slow")
    with pytest.raises(UserError, match=r"expected an image \(H, W, 3\) uint8"):
        selective_search.boxes(np.zeros((20, 20), np.float32))


# ---- patches for the first weights

def test_patches_hold_one_digit_inside_and_repeat_with_the_seed():
    cells, photos = digit_cells("trainval", 3), photographs("trainval")
    images, boxes, labels = make_patches(20, cells, photos, np.random.default_rng(1))
    assert images.shape == (20, SIDE, SIDE, 3) and images.dtype == np.uint8
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] < SIDE).all() and (boxes[:, 2:] - boxes[:, :2] > 4).all()
    assert set(labels) <= set(range(10))
    again = make_patches(20, cells, photos, np.random.default_rng(1))
    assert np.array_equal(images, again[0]) and np.array_equal(labels, again[2])


def test_augmented_boxes_stay_in_the_patch_and_near_the_digit():
    rng = np.random.default_rng(0)
    images = np.full((500, SIDE, SIDE, 3), 100, np.uint8)
    boxes = np.tile(np.array([10, 5, 29, 44], np.float32), (500, 1))
    pictures, shifted = augment(images, boxes, rng)
    assert pictures.dtype == np.float32 and len(np.unique(pictures)) > 400
    assert shifted.min() >= 0 and shifted.max() <= SIDE - 1
    overlaps = bbox_overlaps(shifted, boxes[:1])
    assert 0.6 < np.median(overlaps) < 0.9
