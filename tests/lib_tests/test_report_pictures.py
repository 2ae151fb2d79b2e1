"""The pictures of detections and hard RoIs."""
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from run_report import figures, pictures, verdicts
from run_report.analysis import Judged
from run_report.runs import Run
from run_report.style import bgr
from support.judged import BOX, FAR, HALF, NASTY, NEAR, NONE, dets, ranking, truth


def marks(found, objects, thresh=.5):
    """[(kind, text)] of one image's detections [(box, class, score)]."""
    all_boxes = [[dets(*((box, score) for box, c, score in found if c == cls))] for cls in range(3)]
    one = truth(*objects)
    result = verdicts.judge(all_boxes, [one])
    shown = verdicts.image_marks(result, one, 0, ("__background__", "one", "two"), thresh)
    assert verdicts.mistakes(result, thresh).tolist() == [sum(kind != "right" for kind, *_ in shown)]
    return [(kind, text) for kind, _, text in shown]


def test_marks_are_right_wrong_and_missed():
    found = [(BOX, 1, .9), (NEAR, 1, .8), (FAR, 1, .7), (BOX, 1, .2)]
    assert marks(found, [(BOX, 1), (FAR, 2)]) == [
        ("right", "one 0.90"), ("wrong", "one 0.80"), ("wrong", "one 0.70"), ("missed", "two")]


def test_marks_of_little_overlap_of_low_scores_and_of_difficult_objects():
    assert marks([(HALF, 1, .9)], [(BOX, 1)]) == [("wrong", "one 0.90"), ("missed", "one")]
    assert marks([(BOX, 1, .4)], [(BOX, 1)]) == [("missed", "one")]
    assert marks([(BOX, 1, .9)], [(BOX, 1, "difficult")]) == []


def test_marks_of_images_without_objects_or_detections():
    assert marks([], []) == []
    assert marks([(BOX, 1, 1)], []) == [("wrong", "one 1.00")]


def test_chosen_images_are_those_that_differ():
    same, differing = np.zeros(11, int), np.zeros(11, int)
    differing[5] = 3
    assert figures.choose_images([same, differing], 1) == [5]
    assert figures.choose_images([differing], 1) == [5]
    many = np.arange(30)[::-1]
    assert figures.choose_images([many], 5) == [0, 6, 12, 18, 24]
    assert figures.choose_images([np.array([0, 1, 2])], 5) == [0, 1, 2]


def share(image, name):
    """Share of the pixels that have a colour of page.css."""
    return (np.abs(image.astype(int) - bgr(name)).max(axis=2) < 12).mean()


def test_detections_are_drawn_in_a_row_for_each_run(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((100, 100, 3), np.uint8))
    imdb = SimpleNamespace(name="toy", classes=("__background__", "one"), image_path_at=lambda i: str(tmp_path / "a.png"))
    truths = [truth((BOX, 1))]
    judged = [Judged(k, Run(NASTY, tmp_path, {}, tmp_path, {}, ""), imdb, truths, verdicts.judge([[NONE], [found]], truths))
              for k, found in enumerate((dets((BOX, .9)), dets((FAR, .9))))]
    image = figures.draw_detections(judged)
    first, second = image[70:image.shape[0] // 2 + 35], image[image.shape[0] // 2 + 35:]        # below the legend
    assert share(first, "right") > .001 and share(first, "wrong") == share(first, "object") == 0
    assert share(second, "wrong") > .001 and share(second, "object") > .001 and share(second, "right") == 0
    np.testing.assert_array_equal(figures.draw_detections(judged), image)


def test_hard_rois_are_drawn_next_to_the_others():
    one = ranking(([0] * 4, [2, 0, 0, 1]), [1, 0, 0, 0], [.6, 0, 0, 0], ([1], [0, 3]))
    image = figures.draw_hard_rois(one)
    rows = slice(40, image.shape[0] - 50)       # between the titles and the legend
    left, right = np.split(image[rows, :image.shape[1] // 2 * 2], 2, axis=1)
    assert share(left, "easy") > .001 and share(left, "fg") == share(left, "bg") == 0
    assert share(right, "fg") > .001 and share(right, "bg") > 0 and share(right, "easy") == 0


@pytest.mark.parametrize("box", [[30, 30, 49, 49], [-20, 80, 5, 130], [0, 0, 99, 99]])
def test_a_crop_is_around_its_box(box):
    """Also at the border of the image; the box is drawn where the object is."""
    im = np.zeros((100, 100, 3), np.uint8)
    piece = pictures.crop(im, box, colour=(0, 0, 255), side=90)
    rows, columns = np.nonzero(piece[:, :, 2] > 230)
    x1, y1, x2, y2 = box
    assert piece.shape == (90, 90, 3)
    assert (columns.min() + columns.max()) / 2 == pytest.approx(44.5, abs=1.5) and (rows.min() + rows.max()) / 2 == pytest.approx(44.5, abs=1.5)
    assert max(np.ptp(columns), np.ptp(rows)) == pytest.approx(90 / 1.8, abs=4)
