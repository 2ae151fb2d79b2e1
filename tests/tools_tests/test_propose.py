"""tools/propose.py: the file it writes, and runs that were ended."""
import os
import shutil
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import pytest
from datasets.factory import get_imdb
from datasets.proposals import load_proposals
from datasets.propose import search_boxes
from scipy.io import loadmat, savemat
from support.reference import ROOT
from support.voc_folder import make_voc_folder, write_proposals_mat
from utils.errors import UserError

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
    written = mat(folder).read_bytes()
    again = propose()
    assert again.returncode == 0 and "is there already, for the 6 images" in again.stdout
    assert mat(folder).read_bytes() == written


def test_killed_and_run_again(propose, folder, tmp_path):
    """SIGKILL in the midst: the second run makes only what is missing, and the file is that of a run in one go."""
    assert propose("--mode", "fast", "--out", tmp_path / "whole.mat").returncode == 0
    parts = mat(folder).parent / (mat(folder).name + ".parts")
    command = [sys.executable, "tools/propose.py", "--imdb", "voc:%s@trainval" % folder, "--workers", "1",
               "--mode", "fast"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(list(parts.glob("*.npy"))) < 2 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL and not mat(folder).exists()
    done = {path.name: path.stat().st_mtime_ns for path in parts.glob("*.npy")}
    assert 2 <= len(done) < COUNT
    spoiled = parts / max(done)                     # of one of them nothing must be read that another run would not write
    np.save(spoiled, np.load(spoiled)[:1])
    hashes = [sha256((folder / "JPEGImages" / (name + ".jpg")).read_bytes()).hexdigest() for name in names()]
    result = propose("--mode", "fast")
    assert result.returncode == 0 and "Going on after %d of 6 images" % len(done) in result.stdout, result.stderr
    whole, parted = (load_proposals(str(path), names()) for path in (tmp_path / "whole.mat", mat(folder)))
    reused = hashes.index(spoiled.stem.split("_")[0])
    assert len(parted[reused]) == 1                 # it was taken, not made again
    for i in set(range(COUNT)) - {reused}:
        np.testing.assert_array_equal(whole[i], parted[i])


def test_a_part_that_is_not_whole_is_made_again(propose, folder):
    image = folder / "JPEGImages" / "a photo 5.jpg"
    whole = image.read_bytes()
    image.write_bytes(b"no image")
    assert propose("--workers", "1").returncode == 1
    next(Path(str(mat(folder)) + ".parts").iterdir()).write_bytes(b"")
    image.write_bytes(whole)
    result = propose()
    assert result.returncode == 0 and "Going on after 4 of 6 images" in result.stdout, result.stderr


def test_parts_of_another_search_are_not_used(propose, folder):
    image = folder / "JPEGImages" / "a photo 5.jpg"
    whole = image.read_bytes()
    image.write_bytes(b"no image")
    result = propose("--workers", "1")
    assert result.returncode == 1 and "error: image %s" % image in result.stderr and not mat(folder).exists()
    assert "Going on" not in propose("--width", "80").stdout
    image.write_bytes(whole)
    result = propose("--width", "80")
    assert result.returncode == 0 and "Going on after 5 of 6 images" in result.stdout
    assert not (mat(folder).parent / (mat(folder).name + ".parts")).exists()


@pytest.fixture
def marked(propose, folder):
    """The file of a whole run, in which the boxes of every image are one that no search finds: it shows what is kept."""
    assert propose("--width", "80").returncode == 0
    raw = {key: value for key, value in loadmat(mat(folder)).items() if key[0] != "_"}
    for k in range(COUNT):
        raw["boxes"][k, 0] = np.array([[1, 1, 2, 2 + k]], np.uint16)
    savemat(mat(folder), raw)
    return mat(folder)


def write_list(folder, names):
    (folder / "ImageSets" / "Main" / "trainval.txt").write_text("".join(name + "\n" for name in names))


def counts(path, of):
    return [len(boxes) for boxes in load_proposals(str(path), of)]


def test_a_grown_image_set_gets_what_is_missing(propose, folder, marked, tmp_path):
    for part, suffix in (("JPEGImages", ".jpg"), ("Annotations", ".xml")):
        shutil.copy(folder / part / ("a photo 5" + suffix), folder / part / ("new" + suffix))
    cv2.imwrite(str(folder / "JPEGImages" / "new.jpg"), cv2.imread(str(folder / "JPEGImages" / "a photo 5.jpg"))[::-1])
    grown = ["new"] + names()[::-1]
    write_list(folder, grown)
    with pytest.raises(UserError, match="has boxes of 6 images, the image set has 7 images; make them with tools/propose.py"):
        get_imdb("voc:%s@trainval" % folder).roidb  # noqa: B018
    result = propose()
    assert result.returncode == 0, result.stderr
    assert "Going on after 6 of 7 images" in result.stdout and "width 80" in result.stdout
    found = load_proposals(str(marked), grown)
    assert len(found[0]) > 3 and [box[0].tolist() for box in found[1:]] == [[0, 0, 1 + k, 1] for k in range(5, -1, -1)]
    assert len(get_imdb("voc:%s@trainval" % folder).roidb) == 7
    assert propose("--width", "80", "--out", tmp_path / "once.mat").returncode == 0       # as made in one go
    np.testing.assert_array_equal(found[0], load_proposals(str(tmp_path / "once.mat"), grown)[0])


def test_an_image_replaced_under_its_name_is_proposed_again(propose, folder, marked):
    image = folder / "JPEGImages" / "a photo 2.jpg"
    time_before = image.stat().st_mtime_ns
    cv2.imwrite(str(image), cv2.imread(str(image))[::-1])
    os.utime(image, ns=(time_before, time_before))
    with pytest.raises(UserError, match="1 of 6 images were replaced since .* the first is a photo 2; .*tools/propose.py"):
        get_imdb("voc:%s@trainval" % folder).roidb  # noqa: B018
    assert "Going on after 5 of 6 images" in propose().stdout
    assert [n > 1 for n in counts(marked, names())] == [False, False, True, False, False, False]
    get_imdb("voc:%s@trainval" % folder).roidb  # noqa: B018


def test_touched_and_shuffled_images_are_not_searched_again(propose, folder, marked):
    for path in (folder / "JPEGImages").iterdir():
        os.utime(path)
    assert "is there already" in propose().stdout
    write_list(folder, names()[1:4][::-1])
    assert "Going on after 3 of 3 images" in propose().stdout
    assert counts(marked, names()[1:4][::-1]) == [1, 1, 1]


def test_a_file_of_another_search_is_not_mixed(propose, folder, marked):
    written = marked.read_bytes()
    result = propose("--width", "90")
    assert result.returncode == 1 and "was made with --mode quick --width 80, got --mode quick --width 90" in result.stderr
    assert marked.read_bytes() == written


@pytest.mark.parametrize("grown", [False, True])
def test_a_file_that_is_not_ours_stays(propose, folder, grown):
    write_proposals_mat(mat(folder), {name: np.array([[1, 1, 9, 9]]) for name in names()[grown:]})
    written = mat(folder).read_bytes()
    result = propose()
    assert mat(folder).read_bytes() == written and os.listdir(mat(folder).parent) == [mat(folder).name]
    if grown:
        assert result.returncode == 1 and len(result.stderr.splitlines()) == 1
        assert "so it is not changed, and it does not fit things_trainval: " in result.stderr
        assert "has boxes of 5 images, the image set has 6" in result.stderr
    else:
        assert result.returncode == 0 and "so it is not changed; it has boxes for the 6 images" in result.stdout


def test_boxes_in_another_format_are_not_joined_by_a_mat(propose, folder):
    np.savez(mat(folder).with_suffix(".npz"), boxes=np.zeros((0, 4)), counts=np.zeros(6, int))
    result = propose()
    assert result.returncode == 1 and "has its proposals in" in result.stderr and not mat(folder).exists()


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
    boxes = search_boxes(image, "quick", width=200).astype(int)
    assert boxes.min() >= 0 and (boxes[:, 2] <= 776).all() and (boxes[:, 3] <= 300).all()
    assert np.abs(boxes - [200, 60, 499, 239]).max(axis=1).min() <= 4       # a pixel of the small image is 3.9 of these
    assert len(np.unique(boxes, axis=0)) == len(boxes)


def test_order_does_not_follow_the_place():
    """The first so many must not be those at the left: COCO takes the first 2000."""
    rng = np.random.default_rng(0)
    image = cv2.resize(rng.integers(0, 256, (12, 16, 3), np.uint8), (320, 240), interpolation=cv2.INTER_NEAREST)
    boxes = search_boxes(image, "quick", seed=3)
    half = len(boxes) // 2
    assert half > 20 and abs(boxes[:half, 0].mean() - boxes[half:, 0].mean()) < 60
    np.testing.assert_array_equal(boxes, search_boxes(image, "quick", seed=3))
