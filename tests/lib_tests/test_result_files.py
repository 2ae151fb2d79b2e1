"""Result files of the PASCAL challenge: what is read back is what was written."""
import numpy as np
import pytest
from datasets import coco_results, voc_results
from datasets.voc_results import write_results


def lines_of(path):
    return path.read_text(encoding="utf-8").splitlines()


def test_a_line_is_image_score_and_a_one_based_box(tmp_path):
    write_results(tmp_path / "x" / "det.txt", ["000001", "ä b"], [[[0, 1, 2, 3.5, 0.25]], np.zeros((0, 5))])
    assert lines_of(tmp_path / "x" / "det.txt") == ["000001 0.25 1 2 3 4.5"]


def test_every_bit_pattern_of_a_float32_score_comes_back(tmp_path):
    bits = np.random.default_rng(0).integers(0, 0x7f800000, 20000)
    scores = bits.astype(np.uint32).view(np.float32)
    dets = np.column_stack([np.zeros((len(scores), 4), np.float32), scores])
    write_results(tmp_path / "det.txt", ["ä"], [dets])
    lines = [line.split() for line in lines_of(tmp_path / "det.txt")]
    assert {line[0] for line in lines} == {"ä"}
    assert np.array_equal(np.array([line[1] for line in lines], dtype=np.float32), scores)


@pytest.mark.parametrize("write", [
    lambda folder: voc_results.write_results(str(folder / "det.txt"), ["a", "b"], [np.ones((1, 5)), "no boxes"]),
    lambda folder: voc_results.write_scores(str(folder), {}, {"mean_ap": object()}),
    lambda folder: coco_results.write_detections(str(folder / "det.json"), [{"score": object()}]),
], ids=["result file", "scores", "COCO result file"])
def test_an_error_while_results_are_written_leaves_the_old_ones(tmp_path, write):
    for name in ("det.txt", "ap.json", "det.json"):
        (tmp_path / name).write_text("old")
    with pytest.raises((ValueError, TypeError)):
        write(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(
        ("det.txt", "ap.json", "det.json"), "old")
