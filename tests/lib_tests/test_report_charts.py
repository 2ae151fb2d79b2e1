"""The report's charts."""
import os
import subprocess
import sys
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from run_report import charts
from run_report.style import COLOURS
from support.judged import NASTY
from support.reference import ROOT


def parse(svg):
    """[(d, style)] of the paths, [(x, y, text)] of the texts."""
    root = ElementTree.fromstring(svg)
    assert root.tag == "svg" and {node.tag for node in root} <= {"path", "text"}
    return ([(node.get("d"), node.get("style")) for node in root.iter("path")],
            [(float(node.get("x")), float(node.get("y")), node.text) for node in root.iter("text")])


def lines_of(svg, name):
    """The path data in a colour of page.css."""
    return [d for d, look in parse(svg)[0] if f"stroke: {COLOURS[name]}" in look]


def test_running_mean():
    values = [2, 4, np.nan, 6, 8]
    np.testing.assert_allclose(charts.running_mean(values, 2), [2, 3, np.nan, 6, 7])
    np.testing.assert_allclose(charts.running_mean([2, np.inf, 4, 6], 2), [2, np.nan, 4, 5])


def test_a_line_goes_through_its_points_and_is_broken_where_a_number_is_missing():
    height = 170 - charts.BOTTOM - charts.TOP
    right, floor = 210 - charts.RIGHT, 170 - charts.BOTTOM
    svg = charts.precision_recall([(np.array([.5, 1]), np.array([1, 0.]), "run1")], "cup")
    middle, top = charts.LEFT + (right - charts.LEFT) / 2, floor - height / 1.02
    assert lines_of(svg, "run1") == [f"M{middle:g} {top:.1f}L{right} {floor}"]
    svg = charts.curves([([0, 1, 2, 3, 4], [4, 4, np.nan, 2, 2], "run0")], "loss")
    (line,) = lines_of(svg, "run0")
    assert line.count("M") == 2 and line.startswith(f"M{charts.LEFT} ")


def test_axes_have_round_numbers_and_names():
    _, texts = parse(charts.curves([([0, 40000], [0, 1], "run0")], "loss"))
    names = [text for _, _, text in texts]
    assert names[:6] == ["0", "10k", "20k", "30k", "40k", "iteration"]
    assert names[6:] == ["0", "0.5", "1", "loss"]


@pytest.mark.parametrize("values, labels", [([.1, 1.8], ["0.1", "0.2", "0.5", "1"]),
                                            ([.001, 9], ["0.001", "0.01", "0.1", "1"])])
def test_logarithmic_axes(values, labels):
    _, texts = parse(charts.curves([([0, 1], values, "run0")], "loss", log=True))
    assert [text for x, _, text in texts if x < charts.LEFT] == labels


def test_zero_is_at_the_floor_of_a_logarithmic_axis():
    (line,) = lines_of(charts.curves([([0, 1, 2], [1, 0, .1], "run0")], "loss", log=True), "run0")
    assert float(line.split("L")[1].split()[1]) == 240 - charts.BOTTOM


def test_nothing_finite_is_no_plot():
    assert charts.curves([([0, 1], [np.nan, np.inf], "run0")], "loss") == ""
    assert charts.curves([([0, 1], [0, -1], "run0")], "loss", log=True) == ""


@pytest.mark.filterwarnings("error")
def test_a_single_point_and_equal_values_are_drawn():
    assert lines_of(charts.curves([([0], [0], "run0")], "loss"), "run0")
    assert lines_of(charts.curves([([5, 6], [0, 0], "run1 dashed")], "RoIs"), "run1")


def test_every_dot_is_drawn_below_and_above_the_diagonal():
    svg = charts.scatter([(np.array([.1, 2]), np.array([.2, 1]), "bg"), (np.zeros(0), np.zeros(0), "fg")], "a", "b")
    (dots,) = lines_of(svg, "bg")
    places = [tuple(map(float, dot.removesuffix("h0").split())) for dot in dots.split("M")[1:]]
    assert lines_of(svg, "fg") == [] and len(places) == 2
    for (x, y), above in zip(places, (True, False)):
        from_left, from_floor = x - charts.LEFT, 400 - charts.BOTTOM - y
        assert (from_floor / 346 > from_left / 366) == above       # of the plotted area's height and width




@pytest.mark.filterwarnings("error")
def test_any_name_is_escaped_text():
    svg = charts.scatter([(np.ones(1), np.ones(1), "fg")], NASTY, "b")
    shown = NASTY.replace("\n", " ").replace("\x1b", "\ufffd").replace("\udcff", "\ufffd")
    assert shown in [text for *_, text in parse(svg)[1]]
    assert ElementTree.fromstring(svg).get("aria-label") == "b against " + shown
    assert "日本" in svg and "<b" not in svg.replace("<path", "")


def test_the_same_numbers_give_the_same_bytes_whatever_matplotlib_is_set_to():
    def draw():
        series = [(np.arange(100), np.random.default_rng(0).random(100), "run0")]
        return charts.curves(series, "loss")
    first = draw()
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.fonttype": "path", "lines.marker": "o"}):
        before = dict(matplotlib.rcParams)
        assert draw() == first
        assert dict(matplotlib.rcParams) == before
    assert 'id=' not in first and "url(" not in first and "href" not in first and "http" not in first


def test_nothing_global_of_matplotlib_is_touched_or_loaded_before_it_is_needed():
    code = """if True:
        import sys, warnings
        from run_report import runs, summary
        assert "matplotlib" not in sys.modules
        import matplotlib
        backend, filters = dict.__getitem__(matplotlib.rcParams, "backend"), list(warnings.filters)
        from run_report import charts
        charts.curves([([0, 1], [0, 1], "run0")], "loss")
        assert "matplotlib.pyplot" not in sys.modules
        assert dict.__getitem__(matplotlib.rcParams, "backend") is backend and warnings.filters == filters"""
    folders = ROOT / "lib", ROOT / "caffe-fast-rcnn" / "python"
    subprocess.run([sys.executable, "-c", code], check=True,
                   env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))})
