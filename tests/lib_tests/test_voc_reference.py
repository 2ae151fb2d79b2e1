"""Loader and evaluation against what the original gave (c2_roidb, c2_synthetic, c7_voc_eval)."""
import cv2
import numpy as np
import pytest
from datasets.pascal_voc import pascal_voc
from datasets.voc_eval import voc_ap, voc_eval
from fast_rcnn.config import cfg
from support.reference import lib_case, shared
from support.voc_folder import write_proposals_mat
from utils.cython_bbox import bbox_overlaps


@pytest.fixture(scope="module")
def mini(tmp_path_factory):
    """The real VOC 2007 cut, flipped images appended."""
    mp = pytest.MonkeyPatch()
    mp.setattr(cfg, "ROOT_DIR", str(tmp_path_factory.mktemp("root")))
    mp.setattr(cfg, "DATA_DIR", str(shared("data", "voc07mini")))
    imdb = pascal_voc("trainval", "2007", devkit_path=str(shared("data", "voc07mini", "VOCdevkit2007")))
    gt_roidb = imdb.gt_roidb()
    imdb.append_flipped_images()
    mp.undo()
    return imdb, gt_roidb


def test_gt_of_real_images(mini):
    imdb, gt_roidb = mini
    case = lib_case("c2_roidb.npz")
    for index in case["ids"]:
        entry, want = gt_roidb[imdb.image_index.index(index)], "im%s." % index
        assert entry["boxes"].dtype == np.float32
        np.testing.assert_array_equal([entry["width"], entry["height"]], case[want + "size_wh"])
        np.testing.assert_array_equal(entry["boxes"], case[want + "gt.boxes"])
        np.testing.assert_array_equal(entry["gt_classes"], case[want + "gt.gt_classes"])
        np.testing.assert_array_equal(entry["seg_areas"], case[want + "gt.seg_areas"])
        np.testing.assert_array_equal(entry["gt_overlaps"].toarray(), case[want + "gt.overlaps"])


def test_roidb_of_real_images(mini):
    imdb, _ = mini
    case = lib_case("c2_roidb.npz")
    for index in case["ids"]:
        i, want = imdb.image_index.index(index), "im%s." % index
        plain, mirrored = imdb.roidb[i], imdb.roidb[i + imdb.num_images // 2]
        overlaps = plain["gt_overlaps"].toarray()
        np.testing.assert_array_equal(plain["boxes"], case[want + "boxes"])
        np.testing.assert_array_equal(plain["gt_classes"], case[want + "gt_classes"])
        np.testing.assert_array_equal(plain["seg_areas"], case[want + "seg_areas"])
        np.testing.assert_allclose(overlaps, case[want + "gt_overlaps"], atol=1e-5)
        np.testing.assert_array_equal(overlaps.argmax(axis=1), case[want + "max_classes"])
        np.testing.assert_array_equal(mirrored["boxes"], case[want + "flipped.boxes"])
        assert mirrored["flipped"] and not plain["flipped"] and imdb.image_index[i + imdb.num_images // 2] == index


def make_synthetic(root, case):
    """The made-up VOC2007 of c2_synthetic, with its proposals where the original looks for them."""
    data = root / "data" / "VOCdevkit2007" / "VOC2007"
    for part in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (data / part).mkdir(parents=True)
    for index, xml, (w, h) in zip(case["ids"], case["xml"], case["sizes_wh"]):
        (data / "Annotations" / (index + ".xml")).write_text(str(xml))
        cv2.imwrite(str(data / "JPEGImages" / (index + ".jpg")), np.zeros((h, w, 3), np.uint8))
    (data / "ImageSets" / "Main" / "trainval.txt").write_text("\n".join(case["ids"]) + "\n")
    write_proposals_mat(root / "data" / "selective_search_data" / "voc_2007_trainval.mat",
                        {str(index): case["ss_raw%d" % k] for k, index in enumerate(case["ids"])})


def test_loader_corner_cases(own_root):
    """Ours keeps fractional coordinates, the original cut them off: held against each other after cutting ours."""
    case = lib_case("c2_synthetic.npz")
    make_synthetic(own_root, case)
    imdb = pascal_voc("trainval", "2007")
    for k, entry in enumerate(imdb.gt_roidb()):
        np.testing.assert_array_equal(np.trunc(entry["boxes"]), case["gt_boxes%d" % k])
        np.testing.assert_array_equal(entry["gt_classes"], case["gt_classes%d" % k])
        np.testing.assert_allclose(entry["seg_areas"], case["gt_seg_areas%d" % k], rtol=1e-5)
    np.testing.assert_allclose(imdb.gt_roidb()[1]["boxes"][0], [4.7, 9.2, 49.9, 59.4], atol=1e-5)
    imdb.append_flipped_images()
    for k, entry in enumerate(imdb.roidb):
        cut = np.trunc(entry["boxes"]) if not entry["flipped"] else entry["boxes"]
        whole = (entry["boxes"] == np.trunc(entry["boxes"])).all(axis=1)
        np.testing.assert_array_equal(cut[whole | (k < 3)], case["e%d.boxes" % k][whole | (k < 3)])
        np.testing.assert_array_equal(entry["gt_classes"], case["e%d.gt_classes" % k])
        np.testing.assert_array_equal(entry["gt_overlaps"].toarray().argmax(axis=1), case["e%d.max_classes" % k])


def test_overlaps_of_corner_cases(own_root):
    """Equal to the original's where all coordinates are whole; with fractions, the overlaps of the fractional boxes."""
    case = lib_case("c2_synthetic.npz")
    make_synthetic(own_root, case)
    roidb = pascal_voc("trainval", "2007").roidb
    for k in (0, 2):
        np.testing.assert_allclose(roidb[k]["gt_overlaps"].toarray(), case["e%d.gt_overlaps" % k], atol=1e-5)
    boxes = roidb[1]["boxes"]
    np.testing.assert_allclose(roidb[1]["gt_overlaps"].toarray().max(axis=1),
                               bbox_overlaps(boxes, boxes[:2]).max(axis=1), atol=1e-6)
    assert np.abs(roidb[1]["gt_overlaps"].toarray() - case["e1.gt_overlaps"]).max() > 1e-3


@pytest.fixture(scope="module")
def c7_files(tmp_path_factory):
    """The recorded detections as the original wrote them: scores with 3 decimals (tied: rounded to 0.1), boxes 1-based with 1."""
    folder, case = tmp_path_factory.mktemp("c7"), lib_case("c7_voc_eval.npz")
    (folder / "test.txt").write_text("".join(index + "\n" for index in case["ids"]))
    for name in case["classes"]:
        for kind in ("plain", "tied"):
            lines = []
            for image, (x1, y1, x2, y2, score) in zip(case[name + ".image"], case[name + ".dets"]):
                score = np.round(score, 1) if kind == "tied" else score
                lines.append("%s %.3f %.1f %.1f %.1f %.1f\n" % (case["ids"][image], score, x1 + 1, y1 + 1, x2 + 1, y2 + 1))
            (folder / ("%s_%s.txt" % (kind, name))).write_text("".join(lines))
    return folder, case


def evaluate(folder, kind, name, **kwargs):
    annotations = shared("data", "voc07mini", "VOCdevkit2007", "VOC2007", "Annotations")
    return voc_eval(str(folder / (kind + "_{:s}.txt")), str(annotations / "{:s}.xml"), str(folder / "test.txt"), str(name),
                    str(folder / "cache"), **kwargs)


def test_recorded_lines(c7_files):
    folder, case = c7_files
    assert (folder / "plain_person.txt").read_text().splitlines()[:5] == case["first_lines"].tolist()


@pytest.mark.parametrize("prefix, kind, ovthresh", [("", "plain", .5), ("iou70.", "plain", .7), ("tied_stable.", "tied", .5)])
def test_average_precisions(c7_files, prefix, kind, ovthresh):
    folder, case = c7_files
    for metric, use_07 in (("ap07", True), ("ap", False)):
        got = [evaluate(folder, kind, name, ovthresh=ovthresh, use_07_metric=use_07)[2] for name in case["classes"]]
        np.testing.assert_allclose(got, case[prefix + metric], atol=1e-9)


def test_curves(c7_files):
    folder, case = c7_files
    for name in case["classes"]:
        rec, prec, _ = evaluate(folder, "plain", name)
        np.testing.assert_allclose(rec, case[name + ".rec"], atol=1e-12)
        np.testing.assert_allclose(prec, case[name + ".prec"], atol=1e-12)


def test_voc_ap():
    case = lib_case("c7_voc_eval.npz")
    assert voc_ap(case["voc_ap.rec"], case["voc_ap.prec"]) == pytest.approx(float(case["voc_ap.ap"]), abs=1e-12)
    assert voc_ap(case["voc_ap.rec"], case["voc_ap.prec"], True) == pytest.approx(float(case["voc_ap.ap07"]), abs=1e-12)


def test_class_without_detections_has_ap_0(c7_files):
    """The original raised IndexError."""
    folder, case = c7_files
    assert str(case["no_detections.raises"]) == "IndexError"
    (folder / "none_car.txt").write_text("")
    rec, prec, ap = evaluate(folder, "none", "car")
    assert len(rec) == len(prec) == 0 and ap == 0
