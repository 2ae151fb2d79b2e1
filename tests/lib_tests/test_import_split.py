"""The split of images that come without one."""
import cv2
import numpy as np
import pytest
from importers.near_duplicates import group_near_duplicates
from importers.splitting import divide_stratified


def test_each_class_is_divided_by_share():
    labels = [["a"]] * 50 + [["a", "b"]] * 10 + [["c"]] * 5 + [[]] * 10
    sets = np.array(divide_stratified(labels, np.arange(len(labels)), seed=1))
    shares = {label: np.mean(sets[[label in of_image for of_image in labels]] == "test") for label in "abc"}
    assert shares == pytest.approx({"a": 0.2, "b": 0.2, "c": 0.2}, abs=0.02)
    assert np.mean(sets[-10:] == "test") == pytest.approx(0.2)


def test_groups_are_never_divided():
    groups = np.repeat(np.arange(20), 5)
    sets = np.array(divide_stratified([["a"]] * 100, groups, seed=2))
    assert all(len(set(sets[groups == group])) == 1 for group in range(20))
    assert np.sum(sets == "test") == 20


@pytest.fixture
def photograph(tmp_path):
    """photograph(name, seed, noise) -> path of a JPEG; the seed gives the scene."""
    def write(name, seed, noise=0.0, size=(160, 120)):
        scene = np.random.default_rng(seed).uniform(0, 255, (8, 10, 3)).astype(np.float32)
        image = cv2.resize(scene, size, interpolation=cv2.INTER_CUBIC)
        image += np.random.default_rng(99).normal(0, 1, image.shape) * noise
        path = str(tmp_path / (name + ".jpg"))
        cv2.imwrite(path, np.clip(image, 0, 255).astype(np.uint8))
        return path
    return write


def test_copies_of_a_scene_are_one_group(photograph):
    paths = [photograph("a", 1), photograph("b", 2), photograph("a noisy", 1, noise=6),
             photograph("a small", 1, size=(80, 60)), photograph("c", 3)]
    assert group_near_duplicates(paths).tolist() == [0, 1, 0, 0, 4]


def test_roboflows_augmented_copies_are_one_group(photograph):
    paths = [photograph("x_jpg.rf.01", 1), photograph("y_jpg.rf.02", 2), photograph("x_jpg.rf.03", 3)]
    assert group_near_duplicates(paths).tolist() == [0, 1, 0]
