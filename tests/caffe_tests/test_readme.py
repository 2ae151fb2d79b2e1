"""What the package's README shows."""
import re

from support.reference import ROOT


def test_the_first_ten_lines_of_the_readme_run(tmp_path, monkeypatch, capfd):
    text = (ROOT / "caffe-fast-rcnn" / "README.md").read_text()
    block = re.search(r"The first ten lines:\n\n((?:    .*\n|\n)+)", text)[1]
    lines = [line[4:] for line in block.splitlines()]
    assert len([line for line in lines if line]) == 10
    monkeypatch.chdir(tmp_path)
    exec("\n".join(lines), {})
    assert capfd.readouterr().out == "(2, 16, 28, 28)\n"
