"""Result files of the PASCAL challenge: what is read back is what was written."""
import numpy as np
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
