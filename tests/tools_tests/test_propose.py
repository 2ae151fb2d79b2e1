"""tools/propose.py: the file it writes, and runs that were ended."""
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from datasets.factory import get_imdb
from datasets.proposals import load_proposals
from datasets.propose import search
from scipy.io import loadmat
from support.reference import ROOT
from support.voc_folder import make_voc_folder

COUNT = 6


@pytest.fixture
def folder(tmp_path):
    """Six images with names with blanks, of which the first has no object; no proposals."""
    images = {"a photo %d" % i: (160, 120, [("mug", (20 + 5 * i, 30, 90, 100))] if i else []) for i in range(COUNT)}
    make_voc_folder(tmp_path / "things", images)
    (tmp_path / "things" / "selective_search_data" / "things_trainval.mat").unlink()
    return tmp_path / "things"


@pytest.fixture
def propose(run, folder):
    """propose(*flags) -> CompletedProcess on that folder."""
    return lambda *flags: run("propose.py", "--imdb", "voc:%s@trainval" % folder, "--mode", "quick", *flags)


def mat(folder):
    return folder / "selective_search_data" / "things_trainval.mat"


def names():
    return ["a photo %d" % i for i in range(COUNT)]


def test_file_in_the_published_layout(propose, folder):
    result = propose("--workers", "2")
    assert result.returncode == 0, result.stderr
    raw = loadmat(mat(folder))
    assert [str(name[0]) for name in raw["images"].ravel()] == names() and raw["boxes"].shape == (COUNT, 1)
    ymax, xmax = np.vstack(raw["boxes"].ravel().tolist())[:, 2:].max(axis=0)
    assert (ymax, xmax) == (120, 160)                       # 1-based, y first
    roidb = get_imdb("voc:%s@trainval" % folder).roidb      # found where it was put
    assert all(len(entry["boxes"]) > 3 for entry in roidb)
    assert max(entry["gt_overlaps"][1:].max() for entry in roidb[1:]) > 0.8
    assert os.listdir(mat(folder).parent) == [mat(folder).name]
    again = propose()
    assert again.returncode == 0 and "is there already, for the 6 images" in again.stdout


def test_killed_and_run_again(propose, folder, tmp_path):
    """SIGKILL in the midst: the second run makes only what is missing, and the file is that of a run in one go."""
    assert propose("--mode", "fast", "--out", tmp_path / "whole.mat").returncode == 0
    parts = mat(folder).parent / (mat(folder).name + ".parts")
    command = [sys.executable, "tools/propose.py", "--imdb", "voc:%s@trainval" % folder, "--workers", "1"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(list(parts.glob("*.npy"))) < 2 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL and not mat(folder).exists()
    done = {path.name: path.stat().st_mtime_ns for path in parts.glob("*.npy")}
    assert 2 <= len(done) < COUNT
    spoiled = parts / max(done)                     # of one of them nothing must be read that another run would not write
    np.save(spoiled, np.load(spoiled)[:1])
    result = propose("--mode", "fast")
    assert result.returncode == 0 and "Going on after %d of 6 images" % len(done) in result.stdout, result.stderr
    whole, parted = (load_proposals(str(path), names()) for path in (tmp_path / "whole.mat", mat(folder)))
    reused = int(spoiled.stem)
    assert len(parted[reused]) == 1                 # it was taken, not made again
    for i in set(range(COUNT)) - {reused}:
        np.testing.assert_array_equal(whole[i], parted[i])


def test_parts_of_other_settings_are_not_used(propose, folder):
    image = folder / "JPEGImages" / "a photo 5.jpg"
    whole = image.read_bytes()
    image.write_bytes(b"no image")
    result = propose("--workers", "1")
    assert result.returncode == 1 and "error: image %s" % image in result.stderr and not mat(folder).exists()
    assert "starting anew" in propose("--width", "80").stdout
    image.write_bytes(whole)
    result = propose("--width", "80")
    assert result.returncode == 0 and "starting anew" in result.stdout      # the image is another one now


def test_a_file_of_other_images_is_not_taken(propose, folder):
    assert propose().returncode == 0
    with open(folder / "ImageSets" / "Main" / "trainval.txt", "a") as f:
        f.write("a photo 0\n")
    result = propose()
    assert result.returncode == 1 and "has boxes of 6 images, the image set has 7" in result.stderr


@pytest.mark.parametrize("flags, words", [
    (["--out", "boxes.npz"], "--out boxes.npz: expected one .mat"), (["--workers", "0"], "--workers must be at least 1"),
    (["--imdb", "voc:nowhere@trainval"], "nowhere does not exist")])
def test_mistakes_are_one_line(propose, flags, words):
    result = propose(*flags)
    assert result.returncode == 1 and result.stderr.startswith("error: ") and words in result.stderr


def test_wide_images_are_searched_smaller():
    """Boxes come back in pixels of the image, cover what they covered, and lie inside."""
    image = np.full((301, 777, 3), 120, np.uint8)
    cv2.rectangle(image, (200, 60), (499, 239), (0, 0, 255), -1)
    boxes = search(image, "quick", width=200).astype(int)
    assert boxes.min() >= 0 and (boxes[:, 2] <= 776).all() and (boxes[:, 3] <= 300).all()
    assert np.abs(boxes - [200, 60, 499, 239]).max(axis=1).min() <= 4       # a pixel of the small image is 3.9 of these
    assert len(np.unique(boxes, axis=0)) == len(boxes)


def test_order_does_not_follow_the_place():
    """The first so many must not be those at the left: COCO takes the first 2000."""
    rng = np.random.default_rng(0)
    image = cv2.resize(rng.integers(0, 256, (12, 16, 3), np.uint8), (320, 240), interpolation=cv2.INTER_NEAREST)
    boxes = search(image, "quick", seed=3)
    half = len(boxes) // 2
    assert half > 20 and abs(boxes[:half, 0].mean() - boxes[half:, 0].mean()) < 60
    np.testing.assert_array_equal(boxes, search(image, "quick", seed=3))
