"""tools/report.py on runs of a tiny net: what stands on the page, read as text and by a browser."""
import base64
import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from types import SimpleNamespace
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from run_report.style import COLOURS
from support.reference import ROOT
from support.tiny_net import write_tiny_net
from support.voc_folder import make_voc_folder

METHODS = {"plain": "fast_rcnn", "mined": "fast_rcnn_ohem"}
VOID = "meta", "img", "br", "path"


def images(prefix):
    """Four images, one without objects; the cups of the last one are difficult."""
    objects = [("ball", (10, 12, 40, 45)), ("cup", (60, 20, 100, 70))]
    last = [("ball", (15, 12, 45, 50)), ("cup", (60, 20, 100, 70), 1)]
    return {prefix + name: (120, 90, found) for name, found in zip("abcd", ([], objects, objects, last))}


def succeed(result):
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def made(server, tmp_path_factory):
    """runs: {name: folder of training}; results: {name: folder of test}; both and one: text of pages; path of `both`.

    Next to `both` lie its summary and pictures.
    """
    folder, stem = tmp_path_factory.mktemp("report"), "test_" + uuid.uuid4().hex[:8]
    net, data = write_tiny_net(folder / "TinyNet"), folder / "my <things>"
    for split in ("trainval", "test"):
        make_voc_folder(data, images(split), split, ["ball", "cup"])
    run = SimpleNamespace(folder=folder, call=lambda *argv: server.run(argv, ROOT), runs={}, results={})
    for name, method in METHODS.items():
        train_and_test(run, net / method, data, "%s_%s" % (stem, name), name)
    run.path = folder / "both.html"
    succeed(run.call("tools/report.py", run.runs["plain"].parent, run.runs["mined"], "--out", run.path,
                     "--summary", folder / "summary.json", "--pictures", folder / "pictures"))
    succeed(run.call("tools/report.py", run.results["mined"]))
    run.both, run.one = run.path.read_text(), (run.runs["mined"] / "report.html").read_text()
    yield run
    for name in METHODS:
        shutil.rmtree(ROOT / "output" / ("%s_%s" % (stem, name)))


def train_and_test(run, models, data, exp_dir, name):
    cfg = ["--cfg", "experiments/cfgs/fast_rcnn_ohem.yml"] if name == "mined" else []
    more = [*cfg, "--set", "EXP_DIR", exp_dir, "TRAIN.SCALES", "[90]", "TEST.SCALES", "[90]"]
    succeed(run.call("tools/train_net.py", "--gpu", "cpu", "--solver", models / "solver.prototxt", "--imdb",
                     "voc:%s@trainval" % data, "--iters", 4, *more))
    run.runs[name] = ROOT / "output" / exp_dir / "my <things>_trainval"
    model = run.runs[name] / "tinynet_fast_rcnn_iter_4.caffemodel"
    succeed(run.call("tools/test_net.py", "--gpu", "cpu", "--def", models / "test.prototxt", "--net", model, "--imdb",
                     "voc:%s@test" % data, "--num_dets", 20, "--det_thresh", 0, *more))
    run.results[name] = ROOT / "output" / exp_dir / "my <things>_test" / model.stem


def aps(made, name):
    return json.loads((made.results[name] / "ap.json").read_text())


def cells(page, first):
    """Texts of the cells of the table row that begins with `first`."""
    row = next(row for row in re.findall(r"<tr.*?</tr>", page) if re.match(r"<tr[^>]*><t[hd]>%s</t" % first, row))
    return [re.sub(r"<.*?>", "", cell) for cell in re.findall(r"<td.*?</td>", row)]


def pictures(page):
    """The decoded images of the page."""
    data = re.findall(r'<img [^>]*src="data:image/jpeg;base64,([^"]+)"', page)
    return [cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_COLOR) for text in data]


def svgs(page):
    return re.findall("<svg.*?</svg>", page)


# ---- in a browser

PROBE = """<script>addEventListener("load", () => {
  const images = [...document.images].filter(image => image.complete && image.naturalWidth), canvas = document.createElement("canvas");
  canvas.width = images[0].naturalWidth; canvas.height = images[0].naturalHeight;
  const context = canvas.getContext("2d"); context.drawImage(images[0], 0, 0);
  const seen = {number: document.getElementById("map1").innerText, pictures: images.length, bar: document.querySelector("td.bar i").offsetWidth,
                middle: [...context.getImageData(75, 75, 1, 1).data], requests: performance.getEntriesByType("resource").length,
                drawn: [...document.querySelectorAll("svg")].every(svg => svg.getBoundingClientRect().height > 50)};
  document.body.innerHTML = "<pre id=seen>" + JSON.stringify(seen) + "</pre>"; })</script>"""


@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed (apt-get install chromium)")
def test_a_browser_shows_a_number_and_the_pictures(made):
    probed = made.folder / "probed.html"
    probed.write_text(made.both.replace("</body>", PROBE + "</body>"))
    dom = subprocess.run(["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir=%s" % (made.folder / "chromium"),
                          "--dump-dom", probed.as_uri()], capture_output=True, text=True, timeout=120, check=True).stdout
    seen = json.loads(re.search(r'<pre id="seen">(.*?)</pre>', dom)[1])
    assert seen["number"] == "%.1f" % (100 * aps(made, "mined")["mean_ap"])
    found = pictures(made.both)
    assert seen["pictures"] == len(found) > 10 and seen["requests"] == 0 and seen["drawn"]
    np.testing.assert_allclose(seen["middle"][:3], found[0][75, 75, ::-1], atol=4)      # two JPEG decoders


# ---- as text

def test_the_page_needs_nothing_else(made):
    for page in (made.both, made.one):
        links = re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?([^"\'>)]+)', page)
        assert links and all(link.startswith(("#", "data:image/jpeg;base64,")) for link in links)
        assert "<script" not in page and "<link" not in page and "@import" not in page
        assert "http" not in "".join(svgs(page)) and "xmlns" not in page


def test_ids_are_unique_and_links_lead_somewhere(made):
    for page in (made.both, made.one):
        ids = re.findall(r'\bid="([^"]*)"', page)
        assert len(ids) == len(set(ids)) and set(re.findall(r'href="#([^"]*)"', page)) <= set(ids)


def test_tags_are_closed_and_names_escaped(made):
    for page in (made.both, made.one):
        assert "my <things>" not in page and "my &lt;things&gt;" in page
        stack = []
        for close, tag, void in re.findall(r"<(/?)(\w+)(?:\"[^\"]*\"|[^>\"])*?(/?)>", re.sub(r"<style>.*?</style>", "", page, flags=re.S)):
            if close:
                assert stack.pop() == tag
            elif tag not in VOID and not void:
                stack.append(tag)
        assert stack == []


def test_scores_and_their_differences(made):
    before, after = (aps(made, name) for name in METHODS)
    for name in ("ball", "cup"):
        values = before["ap"][name], after["ap"][name]
        assert [cells(made.both, name)[k] for k in (0, 2)] == ["%.1f" % (100 * value) for value in values]
        assert float(cells(made.both, name)[4]) == pytest.approx(100 * (values[1] - values[0]), abs=0.051)
    assert float(cells(made.both, "mean")[0]) == pytest.approx(100 * before["mean_ap"], abs=0.051)
    assert 'id="difference"' in made.both and 'id="difference"' not in made.one


def test_seed_and_settings(made):
    assert cells(made.both, "seed") == ["3", "3"] and cells(made.one, "seed") == ["3"]
    assert cells(made.both, "iterations") == ["4", "4"]
    assert cells(made.both.split('id="settings"')[1].split("<details>")[0], "TRAIN.USE_OHEM")[1:] == ["False", "True"]
    differing = made.one.split('id="settings"')[1].split("<details>")[0]
    assert cells(differing, "TRAIN.SCALES")[1:] == ["[600]", "[90]"] and "TRAIN.FG_THRESH" not in differing
    assert "train_net:" in made.one.split("solver of")[1]


def test_curves_and_kinds_of_pictures(made):
    training = made.both.split('id="training"')[1].split("</section>")[0]
    assert re.findall("<h3>(.*?)</h3>", training) == ["Loss trained on", "Classification loss", "Box loss", "What mining sees",
                                                      "What mining picks"]
    assert training.count("<svg") == 5 and training.count("stroke: %s" % COLOURS["run0"]) == 3
    classes = made.both.split('class="small"')[1].split("</section>")[0]
    assert re.findall("<h4>(.*?)</h4>", classes) == ["ball", "cup"] and classes.count("<svg") == 2
    rois = made.both.split('id="rois"')[1].split("</section>")[0]
    assert re.findall("<h3>(.*?)</h3>", rois)[2:3] == ["Hard RoIs of training images"] and "hard to both" in rois
    assert "the net the run started with" in made.one and "hard to the first net" in made.one


def test_an_untested_run_and_other_data(made, tmp_path):
    lone = tmp_path / "lone" / "things_trainval"
    shutil.copytree(made.runs["plain"], lone)
    record = json.loads((lone / "run.json").read_text())
    (lone / "run.json").write_text(json.dumps({**record, "imdb": "voc:nowhere@trainval"}))
    said = succeed(made.call("tools/report.py", made.runs["mined"], lone, "--out", tmp_path / "page.html", "--pictures", tmp_path))
    page = (tmp_path / "page.html").read_text()
    assert "Not written: %s" % (tmp_path / "hard_rois.jpg") in said and (tmp_path / "detections.jpg").is_file()
    assert "not tested yet" in page and "RoIs were not ranked: the runs were trained on different data sets" in page


def test_without_the_images_the_rest_is_there(made, tmp_path):
    lone = tmp_path / "lone" / "things_trainval"
    shutil.copytree(made.runs["plain"], lone)
    record = json.loads((lone / "run.json").read_text())
    (lone / "run.json").write_text(json.dumps({**record, "imdb": "voc:nowhere@trainval"}))
    succeed(made.call("tools/report.py", lone))
    page = (lone / "report.html").read_text()
    assert "RoIs were not ranked: " in page and "nowhere" in page and "stroke: %s" % COLOURS["run0"] in page


def test_the_page_is_the_same_after_classes_txt_was_reversed(made, tmp_path):
    listed = made.folder / "my <things>" / "classes.txt"
    runs = made.runs["plain"], made.runs["mined"]
    try:
        listed.write_text("cup\nball\n")
        said = succeed(made.call("tools/report.py", *runs, "--out", tmp_path / "page.html"))
        assert said.count("the same classes in another order") == 2
        page = (tmp_path / "page.html").read_text()
        for part in ("scores", "detections", "rois"):
            before, after = (text.split('id="%s"' % part)[1].split("</section>")[0] for text in (made.both, page))
            assert after == before, part
        listed.write_text("cup\nball\ndog\n")
        result = made.call("tools/report.py", *runs, "--out", tmp_path / "page.html")
        assert result.returncode == 1 and "has other classes than my <things>_test: missing: dog" in result.stderr
        assert "Traceback" not in result.stderr
    finally:
        listed.write_text("ball\ncup\n")


NAMES = "plain $\\foo$ <b>", 'mined "&"\n\x1b[1m'


def test_names_are_the_users_and_are_escaped(made, tmp_path):
    result = made.call("tools/report.py", made.runs["plain"], made.runs["mined"], "--out", tmp_path / "page.html",
                       "--pictures", tmp_path, "--summary", tmp_path / "summary.json", "--names", *NAMES)
    succeed(result)
    assert "Warning" not in result.stderr
    page = (tmp_path / "page.html").read_text()
    assert "<b>plain" not in page and "<h1>plain $\\foo$ &lt;b&gt; and mined" in page
    labels = [text for svg in svgs(page) for text in ElementTree.fromstring(svg).itertext()]
    assert "loss of plain $\\foo$ <b>" in labels and 'loss of mined "&" \ufffd[1m' in labels
    assert [row["run"] for row in json.loads((tmp_path / "summary.json").read_text())] == list(NAMES)
    for name in ("detections.jpg", "hard_rois.jpg"):
        assert cv2.imread(str(tmp_path / name)).shape[1] > 800


def test_names_are_read_as_utf_8_in_a_c_locale(made, tmp_path):
    if not str(ROOT).isascii():
        pytest.skip("PyTorch is not imported from this folder in a C locale")
    name = "gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n".encode()
    command = [sys.executable, ROOT / "tools" / "report.py", made.runs["plain"], "--names", name + b" \xff",
               "--out", tmp_path / "page.html", "--summary", tmp_path / "summary.json", "--images", "1", "--crops", "1"]
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, cwd=ROOT, env={**os.environ, **locale}, capture_output=True)
    assert result.returncode == 0, result.stderr
    shown = name.decode() + " \ufffd"
    assert "<h1>%s</h1>" % shown in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "summary.json").read_text())[0]["run"] == shown


def test_the_same_runs_give_the_same_bytes(made, tmp_path):
    succeed(made.call("tools/report.py", made.runs["plain"].parent, made.runs["mined"], "--out", tmp_path / "page.html",
                      "--summary", tmp_path / "summary.json", "--pictures", tmp_path / "pictures"))
    assert (tmp_path / "page.html").read_text() == made.both
    for name in ("summary.json", "pictures/detections.jpg", "pictures/hard_rois.jpg"):
        assert (tmp_path / name).read_bytes() == (made.folder / name).read_bytes(), name


def test_the_summary_has_the_numbers_of_the_records(made):
    rows = json.loads((made.folder / "summary.json").read_text())
    for row, name in zip(rows, METHODS, strict=True):
        record, tested = (json.loads((folder / "run.json").read_text()) for folder in (made.runs[name], made.results[name]))
        assert row == {"run": made.runs[name].parent.name, "mAP": aps(made, name)["mean_ap"], "AP": aps(made, name)["ap"],
                       "training_seconds": record["seconds"], "test_seconds": tested["seconds"],
                       "peak_rss_mb": record["peak_rss_mb"], "iterations": 4, "seed": 3}


@pytest.mark.parametrize("arrange, words", [
    (lambda folder, run: None, "holds no finished training"),
    (lambda folder, run: [shutil.copytree(run, folder / name) for name in ("a", "b")], "holds 2 trainings"),
    (lambda folder, run: (folder / "run.json").write_text("{"), "run.json cannot be read")])
def test_mistakes_are_one_line(made, tmp_path, arrange, words):
    arrange(tmp_path, made.runs["plain"])
    result = made.call("tools/report.py", tmp_path)
    assert result.returncode == 1 and result.stderr.startswith("error: ") and words in result.stderr, result.stderr
    assert result.stderr.count("\n") == 1


def test_one_name_for_two_runs_is_a_mistake(made, tmp_path):
    result = made.call("tools/report.py", made.runs["plain"], made.runs["mined"], "--names", "a", "--out", tmp_path / "page.html")
    assert result.returncode == 1 and result.stderr == "error: --names: expected 2, one for each run, got 1: a; quote names with spaces\n"
