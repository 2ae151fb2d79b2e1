"""What a training remembers of each object and of background that is mined, and the suspects that follow."""
import numpy as np
import pytest
from label_errors.suspects import duplicates, find_suspects, ledger_of, missing_objects, wrong_boxes
from roi_data_layer.ohem import Pass
from support.roidbs import random_entries
from support.train_small import train_small
from training.ledger_source import LedgerSource
from training.loss_ledger import CLUSTERS, LossLedger
from training.resume import last_state, read_ledger
from utils.errors import UserError

OBJECT, FAR = [10, 10, 29, 29], [60, 60, 79, 79]


def ledger_of_one(boxes=(OBJECT,), classes=(1,)):
    return LossLedger(["a.jpg"], [(np.array(boxes, np.float64).reshape(-1, 4), np.array(classes, int))], 3)


def add(ledger, boxes, labels, losses, hard, probs=None):
    probs = np.tile([0.5, 0.3, 0.2], (len(boxes), 1)) if probs is None else probs
    ledger.add(0, np.array(boxes, np.float64).reshape(-1, 4), np.array(labels), np.array(losses), np.array(probs),
               np.array(hard))


def test_an_object_has_the_losses_of_the_roi_on_its_own_box():
    ledger = ledger_of_one()
    for loss in (2.0, 1.0):
        add(ledger, [OBJECT, [12, 10, 31, 29], FAR], [1, 1, 0], [loss, 9, 0.1], [True, True, False])
    assert ledger.object_seen.tolist() == [2] and ledger.images_seen.tolist() == [2]
    assert ledger.object_loss.tolist() == [3] and ledger.object_last_loss.tolist() == [1]
    assert ledger.object_mined.tolist() == [4]
    assert np.allclose(ledger.object_prob, [[1, 0.6, 0.4]])


def test_background_that_is_mined_is_counted_once_a_pass_with_its_hardest_box():
    ledger, moved = ledger_of_one(), [62, 60, 81, 79]
    add(ledger, [FAR, moved], [0, 0], [1.0, 3.0], [True, True])
    add(ledger, [FAR], [0], [2.0], [True])
    assert ledger.region_mined[0].tolist() == [2] + [0] * (CLUSTERS - 1)
    assert ledger.region_box[0, 0].tolist() == moved
    assert (ledger.region_loss[0, 0], ledger.region_last_loss[0, 0], ledger.region_hardest[0, 0]) == (5, 2, 3)


@pytest.mark.parametrize("box, label, hard", [([14, 10, 33, 29], 0, True), (FAR, 1, True), (FAR, 0, False)],
                         ids=["near an object", "foreground", "not mined"])
def test_what_is_no_region(box, label, hard):
    ledger = ledger_of_one()
    add(ledger, [box], [label], [5.0], [hard])
    assert not ledger.region_mined.any()


def test_of_many_regions_those_with_the_largest_losses_stay():
    ledger = ledger_of_one([], [])
    boxes = [[30 * k, 0, 30 * k + 19, 19] for k in range(CLUSTERS + 4)]
    for k, box in enumerate(boxes):
        add(ledger, [box], [0], [1.0 + k], [True])
    assert sorted(ledger.region_loss[0].tolist()) == [5.0 + k for k in range(CLUSTERS)]
    add(ledger, [[0, 500, 19, 519]], [0], [0.5], [True])
    assert ledger.region_loss[0].min() == 5


def test_an_image_without_objects_or_rois():
    ledger = ledger_of_one([], [])
    add(ledger, [], [], [], np.zeros(0, bool), np.zeros((0, 3)))
    assert ledger.images_seen.tolist() == [1] and not ledger.region_mined.any()


def test_arrays_restore_what_they_were_taken_from():
    one, other = ledger_of_one(), ledger_of_one()
    add(one, [OBJECT, FAR], [1, 0], [2.0, 3.0], [True, True])
    other.restore(one.arrays())
    assert_equal(one.arrays(), other.arrays())
    with pytest.raises(UserError, match="loss ledger of the resume state is of 1 images with 1 objects.* 1 with 2"):
        ledger_of_one([OBJECT, FAR], [1, 2]).restore(one.arrays())


def test_two_processes_merge_to_what_one_sees():
    whole, first, second = ledger_of_one(), ledger_of_one(), ledger_of_one()
    for k, ledger in enumerate((first, second)):
        for target in (whole, ledger):
            add(target, [OBJECT, FAR, [100, 0, 119, 19]], [1, 0, 0], [2.0 + k, 3.0 + k, 1], [True, True, k == 1])
    first.merge(second.arrays())
    assert_equal(whole.arrays(), first.arrays())


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert np.array_equal(one[name], other[name]), name


def test_a_mirrored_image_counts_for_the_image_as_read(tmp_path):
    """Objects and regions of both copies are the same."""
    entry = random_entries(tmp_path, 1)[0]
    mirrored = {**entry, "flipped": True, "boxes": entry["boxes"].copy()}
    mirrored["boxes"][:, [0, 2]] = entry["width"] - 1 - entry["boxes"][:, [2, 0]]
    source = LedgerSource(type("Net", (), {"layers": []}), [entry, mirrored])
    assert source.ledger.paths == [entry["image"]] and len(source.ledger.object_box) == 1

    for seen in (entry, mirrored):
        rois = np.column_stack([np.zeros(len(seen["boxes"])), 2 * seen["boxes"]])
        labels = np.where(seen["max_overlaps"] >= 0.5, seen["max_classes"], 0)
        losses, probs = np.linspace(0, 1, len(labels)), np.full((len(labels), 3), 1 / 3)
        source._minibatches.append(([seen], [2.0]))
        source._passes.append(Pass(losses, rois, labels, probs, np.arange(len(labels))))
    source.add_iteration()
    ledger = source.ledger
    assert ledger.object_seen.tolist() == [2] and ledger.object_mined[0] == 2 * (labels > 0).sum()
    assert set(ledger.region_mined[ledger.region_mined > 0]) == {2}


def ledger_in(folder):
    return read_ledger(last_state(folder / "output"))


def test_a_training_with_mining_keeps_a_ledger_which_resume_continues(tmp_path):
    whole, parts, none = (tmp_path / name for name in ("whole", "parts", "none"))
    for folder in (whole, parts, none):
        folder.mkdir()
    train_small(whole, True, 9)
    train_small(parts, True, 5)
    train_small(parts, True, 9, resume=parts / "output" / "small_iter_5.solverstate")
    one, other = ledger_in(whole), ledger_in(parts)
    assert one["images_seen"].tolist() == [3] * 5 and one["object_seen"].tolist() == [3] * 5 and one["object_loss"].min() > 0
    assert_equal({**one, "paths": 0}, {**other, "paths": 0})
    train_small(none, True, 9, **{"TRAIN.LOSS_LEDGER": False})
    assert ledger_in(none) == {}
    assert (whole / "output" / "small_iter_9.caffemodel").read_bytes() == \
        (none / "output" / "small_iter_9.caffemodel").read_bytes()


def test_a_training_without_mining_has_no_ledger(tmp_path):
    train_small(tmp_path, False, 4)
    assert ledger_in(tmp_path) == {}


def seen_of(ledger):
    return ledger_of(ledger.arrays(), 1, {"a.jpg": 0})


def test_a_label_of_another_class_is_suspected():
    ledger = ledger_of_one([OBJECT, FAR], [1, 1])
    add(ledger, [OBJECT, FAR], [1, 1], [2.0, 0.1], [True, False], [[0.1, 0.2, 0.7], [0.1, 0.8, 0.1]])
    dets = np.array([[*OBJECT, 0.9, 2], [*OBJECT, 0.2, 1]], float)
    [suspect] = find_suspects([(np.array([OBJECT, FAR], float), np.array([1, 1]))], [dets], seen_of(ledger))
    assert (suspect.kind, suspect.label, suspect.suggested, suspect.box) == ("class", 1, 2, tuple(OBJECT))
    assert suspect.score == pytest.approx((1 + 0.5 - 0.2) / 2) and suspect.mean_loss == 2


def test_what_is_mined_and_detected_far_from_objects_is_suspected():
    ledger = ledger_of_one()
    add(ledger, [FAR], [0], [3.0], [True], [[0.2, 0.7, 0.1]])
    dets = np.array([[61, 60, 80, 79, 0.9, 1], [12, 10, 31, 29, 0.99, 1]])
    [suspect] = missing_objects(0, np.array([OBJECT], float), dets, seen_of(ledger)[0].regions)
    assert (suspect.kind, suspect.suggested, suspect.mined) == ("missing", 1, 1)
    assert suspect.score == pytest.approx((0.9 + 0.7) / 2)


def test_a_difficult_object_is_labelled():
    """What is detected and mined there is no object that nobody labelled."""
    ledger = ledger_of_one()
    add(ledger, [FAR], [0], [3.0], [True], [[0.2, 0.7, 0.1]])
    dets, objects = [np.array([[61, 60, 80, 79, 0.9, 1.0]])], [(np.array([OBJECT], float), np.array([1]))]
    assert [suspect.kind for suspect in find_suspects(objects, dets, seen_of(ledger))] == ["missing"]
    assert find_suspects(objects, dets, seen_of(ledger), ignored=[np.array([FAR])]) == []


def test_a_box_far_off_and_a_duplicate_are_suspected():
    boxes, classes = np.array([OBJECT, [11, 10, 30, 29]], float), np.array([1, 1])
    [twice] = duplicates(0, boxes, classes)
    assert (twice.kind, twice.box) == ("duplicate", (11, 10, 30, 29))
    dets = np.array([[16, 14, 35, 33, 0.9, 1]])
    [off] = wrong_boxes(0, boxes[:1], classes[:1], dets, {})
    assert off.kind == "box" and off.score > 0.3
    assert wrong_boxes(0, boxes[:1], classes[:1], np.array([[11, 10, 30, 29, 0.9, 1]]), {}) == []
