"""tools/report.py --data: the page on a data set says what is in its files, whatever their names are."""
import html
import json
import re
from html import unescape
from html.parser import HTMLParser
from xml.sax.saxutils import escape

import pytest
import yaml
from fast_rcnn.config import cfg
from run_report.data_statistics import NETS, STRIDE
from support import exports
from support.coco_files import make_coco
from support.error_line import assert_error
from support.reference import ROOT
from support.voc_folder import make_voc_folder

HOSTILE = """<script>alert("1")</script> & 'x'""".replace("/", "")      # a class name has no /
FILE = """<img src=x onerror="a">&'b'"""
VOID = {"meta", "img", "br", "path"}


class Page(HTMLParser):
    """tags; rows: the texts of the cells of each table row; items: of each <li>; pictures: how many."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.rows, self.items, self.pictures, self.open = [], [], [], 0, []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.pictures += tag == "img" and dict(attrs)["src"].startswith("data:image/jpeg;base64,")
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "li":
            self.items.append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data
        elif "li" in self.open:
            self.items[-1] += data

    def row(self, name, number=0):
        """The cells after `name`, in the number-th row of it."""
        return [row[1:] for row in self.rows if row[0] == name][number]


@pytest.fixture
def page_of(run, tmp_path):
    """page_of(name, *flags) -> (Page, its text) of --data name."""
    def call(name, *flags):
        out = tmp_path / "page.html"
        result = run("report.py", "--data", name, "--out", out, *flags)
        assert result.returncode == 0, result.stdout + result.stderr
        text = out.read_text(encoding="utf-8")
        return Page(text), text
    return call


def boxes(count, side=40):
    return [("ball", (10 + 50 * i, 12, 9 + 50 * i + side, 11 + side)) for i in range(count)]


@pytest.fixture
def folder(tmp_path):
    """Three training images with 0, 2 and 3 objects, one of them difficult; two for the test."""
    path = tmp_path / "things"
    training = {"a": (200, 100, []), "b": (200, 100, boxes(2)), "c": (200, 100, [*boxes(2), ("cup", (120, 20, 190, 80), 1)])}
    make_voc_folder(path, training, "trainval", ["ball", "cup"])
    return make_voc_folder(path, {"d": (200, 100, boxes(1)), "e": (200, 100, boxes(3))}, "test", ["ball", "cup"])


def test_counts_of_classes_and_images(page_of, folder):
    page, text = page_of(f"voc:{folder}")
    assert [cell for cell in page.row("ball") if cell] == ["2", "4", "2", "4"]          # images, objects of both sets
    assert [cell for cell in page.row("cup") if cell] == ["0", "0", "0", "0"]
    assert re.findall(r'id="objects\d">(\d+)', text) == ["4", "4"]
    assert "1 images without objects; 1 difficult" in text
    assert page.pictures == 5 and text.count("<svg") == 4
    found = " ".join(page.items)
    assert "2 of 2 classes have fewer than 50 objects in things_trainval: cup (0), ball (4)" in found
    assert "1 classes have no object in things_test, so no AP: cup" in found
    assert "1 of 3 images (33 %) of things_trainval have no object" in found


def test_recall_is_that_of_eval_recall(page_of, run, folder):
    page, _ = page_of(f"voc:{folder}")
    lines = run("eval_recall.py", "--imdb", f"voc:{folder}@trainval").stdout.splitlines()
    head, everything, small, medium = (next(line.split() for line in lines if line.startswith(word))
                                       for word in ("area", "all", "small", "medium"))
    at_50, at_70 = head.index("0.50"), head.index("0.70")
    for name, line in (("all", everything), ("ball", everything), ("small", small), ("medium", medium)):
        expected = ["-" if line[k] == "-" else f"{100 * float(line[k]):.0f} %" for k in (at_50, at_70)]
        number = 1 if name == "ball" else 0         # after the row of the classes
        assert [cell for cell in page.row(name, number) if cell] == [line[1], *expected]


@pytest.mark.parametrize("side, sentence", [
    (40, None),                                             # 200 pixels at scale 600, 100 at 300
    (4, "100 % of your boxes are under 16 pixels, one cell of the feature map, at scale 300 (SqueezeNet): train at "
        "scale 500, with --set TRAIN.SCALES [500] TRAIN.MAX_SIZE 833 TEST.SCALES [500] TEST.MAX_SIZE 833"),
    (1, "at scale 600 (VGG16, VGG_CNN_M_1024, ZF and ResNet-50), and 100 % at scale 1200: cut the images into parts"),
])
def test_small_boxes_tell_the_scale_to_train_at(page_of, tmp_path, side, sentence):
    folder = make_voc_folder(tmp_path / "small", {"a": (200, 100, boxes(3, side))}, "trainval", ["ball"])
    page, _ = page_of(f"voc:{folder}@trainval")
    found = [item for item in page.items if "cell of the feature map" in item]
    assert (sentence is None) == (found == [])
    assert sentence is None or any(sentence in item for item in found), found


def test_hostile_names_are_text(page_of, tmp_path):
    folder = tmp_path / "my <u>things & 'more'"
    make_voc_folder(folder, {FILE: (200, 100, [(escape(HOSTILE), (10, 12, 60, 70))])}, "trainval", [HOSTILE, "cup"])
    page, text = page_of(f"voc:{folder}")
    assert not {"script", "u"} & set(page.tags) and page.pictures == 1
    assert HOSTILE not in text and FILE not in text and "<u>things" not in text
    assert [cell for cell in page.row(HOSTILE) if cell] == ["1", "1"] and FILE in unescape(text)
    links = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert links and all(link.startswith(("#", "data:image/jpeg;base64,")) for link in links)


def test_problems_are_listed_and_the_rest_is_shown(page_of, run, tmp_path):
    folder = tmp_path / "bad"
    images = {"a": (200, 100, boxes(2)), "b": (200, 100, [("ball", (150, 10, 260, 50))]), "c": (200, 100, [("dog", (1, 1, 9, 9))])}
    make_voc_folder(folder, images, "trainval", ["ball"])
    page, _ = page_of(f"voc:{folder}")
    problems = [item for item in page.items if "Annotations" in item]
    assert "2 problems in the files of bad_trainval" in problems[0]
    assert "b.xml, object 1 (ball)" in problems[1] and "outside the image of 200 x 100" in problems[1]
    assert "unknown class 'dog'" in problems[2]
    assert [cell for cell in page.row("ball") if cell] == ["1", "2"]
    assert_error(run("train_net.py", "--gpu", "cpu", "--imdb", f"voc:{folder}@trainval", "--solver",
                     ROOT / "models/digits/DigitNet/fast_rcnn/solver.prototxt"), "2 problems")      # nothing was stored


def test_duplicates(page_of, folder):
    xml = folder / "Annotations" / "b.xml"
    second = xml.read_text().replace("<annotation>", "").replace("<name>ball", "<name>cup")
    xml.write_text(xml.read_text().replace("</annotation>\n", "") + second)         # every box of b once more, as a cup
    (folder / "JPEGImages" / "d.jpg").write_bytes((folder / "JPEGImages" / "c.jpg").read_bytes())
    xml.write_text(re.sub("<size>.*?</size>", "", xml.read_text(), count=1))
    page, text = page_of(f"voc:{folder}")
    found = " ".join(page.items)
    assert "2 pairs of boxes overlap by an IoU of 0.9 or more and have different classes: which one is right? b.jpg" in found
    assert "1 test images look like a training image, so the test flatters: d.jpg" in found
    assert text.count('alt="b.jpg: ball, cup"') == 2
    assert 'alt="things_trainval: c.jpg"' in text and 'alt="things_test: d.jpg"' in text


def test_other_names_of_data_sets(page_of, run, tmp_path):
    folder = tmp_path / "own"
    for split in ("trainval", "test"):
        make_coco(folder, {"a.jpg": (120, 90, [{"name": "ball", "bbox": [10, 12, 30, 32]}])}, {"ball": 3}, f"{split}.json")
    page, _ = page_of(f"coco:{folder}")
    assert [cell for cell in page.row("ball") if cell] == ["1", "1", "1", "1"]
    result = run("report.py", "--data", f"coco:{folder}")
    assert f"Wrote {folder}/report.html" in result.stdout, result.stderr
    result = run("report.py", "--data", f"coco:{folder}/trainval.json@{folder}/images", "--out", tmp_path / "one.html")
    assert result.returncode == 0 and len(re.findall('id="objects', (tmp_path / "one.html").read_text())) == 1


def test_scales_and_stride_are_those_of_the_nets():
    scales = {"SqueezeNet": yaml.safe_load((ROOT / "experiments/cfgs/SqueezeNet.yml").read_text())["TRAIN"]}
    for names, (scale, max_size) in NETS.items():
        for net in re.split(", | and ", names):
            assert list((ROOT / "models/pascal_voc" / net).rglob("train.prototxt"))
            train = scales.get(net, cfg.TRAIN)
            assert (list(train["SCALES"]), train["MAX_SIZE"]) == ([scale], max_size)
    prototxts = [path.read_text() for path in ROOT.glob("models/pascal_voc/*/*/test.prototxt")]
    strides = {float(text) for prototxt in prototxts for text in re.findall(r"spatial_scale: (\S+)", prototxt)}
    assert strides == {1 / STRIDE}


@pytest.mark.parametrize("args, words", [
    ([], ["expected a RUN, or --data NAME"]),
    (["--data", "voc_2007", "output/default"], ["expected a RUN, or --data NAME"]),
    (["--data", "voc_2007"], ["'voc_2007' is unknown"]),
    (["--data", "voc:nowhere"], ["voc:nowhere: the folder does not exist"]),
])
def test_mistakes_are_one_line(run, args, words):
    assert_error(run("report.py", "--crops", 1, *args), *words)


def test_the_importer_writes_the_page(run, tmp_path):
    images = {**exports.truth(), "cell 2": [("Red Cell", (-20, 10, 30, 50)), ("platelet", (300, 1, 310, 9))]}
    (tmp_path / "export").mkdir()
    exports.labelme(tmp_path / "export", images)
    out = tmp_path / "cells"
    result = run("import_data.py", str(tmp_path / "export"), "--out", str(out), "--skip-bad")
    assert result.returncode == 0 and f"Wrote {out}/report.html" in result.stdout
    text = (out / "report.html").read_text(encoding="utf-8")
    items = " ".join(Page(text).items)
    assert "cell 2.json, shape 1 (Red Cell): reached out of its image" in items
    assert "1 objects and images were left out" in items and "cell 2.json, shape 2 (platelet)" in items
    source = json.loads((out / "import.json").read_text())["source"]
    assert html.escape(source) in text and "LabelMe JSON" in text
