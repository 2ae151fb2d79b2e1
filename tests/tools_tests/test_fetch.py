"""data/scripts/fetch_*.sh as users start them, against a server on this machine; no address outside is asked."""
import fcntl
import hashlib
import json
import os
import pty
import signal
import subprocess
import sys
import time

import pytest
from support.archives import tar_bytes, zip_bytes
from support.file_server import file_server
from support.reference import ROOT

FILE = "models.tgz"
WEIGHTS = bytes(range(256)) * 2000
GOOD = tar_bytes(("models/net.caffemodel", os.urandom(300_000)), ("models/README", b"weights\n"))


@pytest.fixture(scope="module")
def running_server():
    with file_server() as server:
        yield server


@pytest.fixture
def server(running_server):
    running_server.files, running_server.asked[:] = {FILE: GOOD}, []
    return running_server


def md5(data):
    return "md5:" + hashlib.md5(data).hexdigest()


class Fetching:
    """data/scripts/fetch_imagenet_models.sh with a table of its own, into a folder of its own, from elsewhere."""

    def __init__(self, folder, server):
        self.folder, self.to, self.server = folder, folder / "data", server
        self.environ = {key: value for key, value in os.environ.items()
                        if not key.lower().endswith("_proxy") and key != "OHEM_MIRRORS"}
        self.archives([FILE, GOOD, ["ok"], ["models/net.caffemodel"]])

    def archives(self, *rows, **more):
        """rows: (file name, its right bytes or None for no checksum, ways to serve it, what it gives)."""
        archives = [{"file": name, "checksum": md5(data) if data is not None else "", "size": "1 MB", "default": True,
                     "gives": gives, "urls": [{"url": "%s/%s/%s" % (self.server.url, way, name)} for way in ways],
                     **more} for name, data, ways, gives in rows]
        table = {"imagenet_models": {"what": "made", "otherwise": "make one with tools/make.py", "archives": archives}}
        (self.folder / "sources.json").write_text(json.dumps(table))

    def served(self, *ways):
        self.archives([FILE, GOOD, ways, ["models/net.caffemodel"]])

    def command(self, *args):
        return [str(ROOT / "data/scripts/fetch_imagenet_models.sh"), "--sources", "sources.json", "--to", "data",
                *map(str, args)]

    def __call__(self, *args, **env):
        return subprocess.run(self.command(*args), cwd=self.folder, capture_output=True, text=True, timeout=60,
                              env={**self.environ, **env})

    def left(self):
        """All files below the target folder."""
        return sorted(str(path.relative_to(self.to)) for path in self.to.rglob("*") if not path.is_dir())


MODELS = ["models/README", "models/net.caffemodel"]


@pytest.fixture
def fetching(tmp_path, server):
    return Fetching(tmp_path, server)


def assert_ok(result):
    assert result.returncode == 0, result.stdout + result.stderr


def error_line(result):
    said = result.stdout + result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.returncode == 1 and len(lines) == 1 and "Traceback" not in said, said
    return lines[0]


# ---- downloading

def test_fresh(fetching):
    assert_ok(fetching())
    assert fetching.left() == MODELS
    assert (fetching.to / "models/README").read_bytes() == b"weights\n"


def test_what_is_there_is_not_fetched_again_unless_forced(fetching, server):
    assert_ok(fetching())
    (fetching.to / "models/README").write_text("mine")
    again = fetching()
    assert_ok(again)
    assert "already there" in again.stdout and len(server.asked) == 1
    assert_ok(fetching("--force"))
    assert len(server.asked) == 2 and (fetching.to / "models/README").read_text() == "weights\n"


def test_own_files_in_the_folder_are_kept(fetching):
    (fetching.to / "models").mkdir(parents=True)
    (fetching.to / "models/README").write_text("mine")
    result = fetching()
    assert_ok(result)
    assert fetching.left() == MODELS and (fetching.to / "models/README").read_text() == "mine"
    assert "kept 1" in result.stdout


def test_keep_leaves_the_archive_which_then_serves_the_next_time(fetching, server):
    assert_ok(fetching("--keep"))
    assert (fetching.to / FILE).read_bytes() == GOOD
    (fetching.to / "models/net.caffemodel").unlink()
    assert_ok(fetching())
    assert len(server.asked) == 1 and fetching.left() == sorted(MODELS + [FILE])


def test_resumed(fetching, server):
    fetching.to.mkdir()
    (fetching.to / (FILE + ".part")).write_bytes(GOOD[:1000])
    assert_ok(fetching())
    assert server.asked == [("/ok/" + FILE, "bytes=1000-")] and fetching.left() == MODELS


def test_part_that_is_already_whole(fetching, server):
    fetching.to.mkdir()
    (fetching.to / (FILE + ".part")).write_bytes(GOOD)
    assert_ok(fetching())
    assert len(server.asked) == 1 and fetching.left() == MODELS


@pytest.mark.parametrize("part", [b"x" * 1000, b"x" * (len(GOOD) + 1), b"x" * len(GOOD)], ids=["short", "long", "same"])
def test_part_of_another_file_is_given_up(fetching, part):
    fetching.to.mkdir()
    (fetching.to / (FILE + ".part")).write_bytes(part)
    assert_ok(fetching())
    assert fetching.left() == MODELS


def test_server_without_range_starts_again(fetching, server):
    fetching.served("norange")
    fetching.to.mkdir()
    (fetching.to / (FILE + ".part")).write_bytes(b"other bytes")
    assert_ok(fetching())
    assert len(server.asked) == 1 and fetching.left() == MODELS


def test_broken_connection_is_taken_up_again(fetching, server):
    fetching.served("cutonce")
    assert_ok(fetching())
    assert server.asked == [("/cutonce/" + FILE, None), ("/cutonce/" + FILE, "bytes=%d-" % (len(GOOD) // 2))]


def test_truncated_for_good_keeps_the_part(fetching, server):
    fetching.served("cut")
    line = error_line(fetching())
    assert "closed after" in line and str(len(GOOD)) in line
    part = fetching.to / (FILE + ".part")
    assert fetching.left() == [part.name] and GOOD.startswith(part.read_bytes()) and part.stat().st_size > 1000
    fetching.served("ok")
    size = part.stat().st_size
    assert_ok(fetching())
    assert server.asked[-1] == ("/ok/" + FILE, "bytes=%d-" % size) and fetching.left() == MODELS


def test_wrong_checksum_is_set_aside(fetching, server):
    server.files[FILE] = tar_bytes(("models/net.caffemodel", b"something else"))
    line = error_line(fetching())
    assert md5(server.files[FILE])[4:] in line and md5(GOOD)[4:] in line and FILE + ".bad" in line
    assert fetching.left() == [FILE + ".bad"]


def test_second_address_after_404_and_wrong_checksum_and_web_page(fetching, server):
    fetching.served("missing", "page", "ok")
    result = fetching()
    assert_ok(result)
    assert "404" in result.stderr and "web page" in result.stderr and fetching.left() == MODELS
    assert [path.split("/")[1] for path, _ in server.asked] == ["missing", "page", "ok"]


def test_nothing_works_names_all_and_the_way_out(fetching, server):
    fetching.archives([FILE, GOOD, ["missing", "page"], ["models/net.caffemodel"]])
    line = error_line(fetching("--mirror", server.url + "/gone/"))
    for words in ("/missing/", "/page/", "/gone/" + FILE, "404", "web page", "--mirror", "--from-file", "tools/make.py"):
        assert words in line
    assert fetching.left() == []


def test_unreachable_host(fetching):
    fetching.served("missing")
    assert "refused" in error_line(fetching("--mirror", "http://127.0.0.1:9"))


@pytest.mark.parametrize("mirror", ["/ok", "/ok/", "/ok/" + FILE, "/ok/" + FILE + "?dl=1"])
def test_mirrors_as_folder_or_file(fetching, server, mirror):
    fetching.served("missing")
    assert_ok(fetching("--mirror", server.url + mirror))
    assert fetching.left() == MODELS


def test_mirrors_from_the_environment_come_last(fetching, server):
    fetching.served("missing")
    assert_ok(fetching("--mirror", server.url + "/gone", OHEM_MIRRORS="%s/page %s/ok" % (server.url, server.url)))
    assert [path.split("/")[1] for path, _ in server.asked] == ["missing", "gone", "page", "ok"]


def test_mirror_that_is_no_address(fetching):
    assert "--from-file" in error_line(fetching("--mirror", "file:///etc"))


def test_without_a_checksum_nothing_is_resumed_and_the_md5_is_told(fetching, server):
    fetching.archives([FILE, None, ["ok"], ["models/net.caffemodel"]])
    fetching.to.mkdir()
    (fetching.to / (FILE + ".part")).write_bytes(b"other bytes")
    result = fetching()
    assert_ok(result)
    assert server.asked == [("/ok/" + FILE, None)] and md5(GOOD)[4:] in result.stdout


def heed_the_keyboard():
    """A test run in the background of a shell ignores SIGINT, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_interrupted_by_the_keyboard_and_resumed(fetching, server):
    fetching.served("slow")
    process = subprocess.Popen(fetching.command(), cwd=fetching.folder, env=fetching.environ, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=heed_the_keyboard)
    part = fetching.to / (FILE + ".part")
    while not part.exists() or part.stat().st_size == 0:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130 and "goes on from there" in said and "Traceback" not in said
    size = part.stat().st_size
    assert 0 < size < len(GOOD)
    fetching.served("ok")
    assert_ok(fetching())
    assert server.asked[-1][1] == "bytes=%d-" % size and fetching.left() == MODELS


def test_two_runs_at_once(fetching, server):
    fetching.to.mkdir()
    with open(fetching.to / (FILE + ".part"), "wb") as f:
        fcntl.flock(f, fcntl.LOCK_EX)                       # what the other run holds
        assert "another run" in error_line(fetching())
    assert server.asked == []


def test_progress_on_a_terminal(fetching):
    fetching.served("slow")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(fetching.command(), cwd=fetching.folder, env=fetching.environ,
                               stdout=subprocess.DEVNULL, stderr=theirs)
    assert process.wait(20) == 0
    os.close(theirs)
    said = os.read(ours, 1 << 16).decode()
    os.close(ours)
    for words in ("%", "ETA 0:0", "kB/s", FILE):
        assert words in said


# ---- files the user has

def test_from_file(fetching, server):
    (fetching.folder / "my copy.tgz").write_bytes(GOOD)
    assert_ok(fetching("--from-file", "my copy.tgz"))
    assert server.asked == [] and fetching.left() == MODELS and (fetching.folder / "my copy.tgz").exists()


def test_from_file_with_the_wrong_checksum_is_left_alone(fetching):
    (fetching.folder / FILE).write_bytes(b"something else")
    line = error_line(fetching("--from-file", FILE))
    assert md5(b"something else")[4:] in line and md5(GOOD)[4:] in line
    assert (fetching.folder / FILE).read_bytes() == b"something else" and fetching.left() == []


def test_from_file_missing_or_not_one_of_these(fetching):
    assert "nowhere.tgz" in error_line(fetching("--from-file", "nowhere.tgz"))
    fetching.archives(["a.tgz", GOOD, ["ok"], ["a"]], ["b.tgz", GOOD, ["ok"], ["b"]])
    (fetching.folder / "c.tgz").write_bytes(GOOD)
    assert "a.tgz or b.tgz" in error_line(fetching("--from-file", "c.tgz"))


# ---- what is in the archive

def test_two_tars_of_one_devkit_into_one_folder(fetching, server):
    """As VOC 2007's trainval and test, which share their folders."""
    first = tar_bytes(("VOCdevkit/VOC2007/JPEGImages/1.jpg", b"1"), ("VOCdevkit/VOC2007/ImageSets/Main/trainval.txt", b"1\n"),
                      mode="w")
    second = tar_bytes(("VOCdevkit/VOC2007/ImageSets/Main/test.txt", b"2\n"), ("VOCdevkit/VOC2007/JPEGImages/2.jpg", b"2"),
                       mode="w")
    server.files.update({"one.tar": first, "two.tar": second})
    fetching.archives(["one.tar", first, ["ok"], ["VOCdevkit2007/VOC2007/ImageSets/Main/trainval.txt"]],
                      ["two.tar", second, ["ok"], ["VOCdevkit2007/VOC2007/ImageSets/Main/test.txt"]],
                      into="VOCdevkit2007", drop="VOCdevkit")
    assert_ok(fetching())
    inside = "VOCdevkit2007/VOC2007/"
    assert fetching.left() == [inside + "ImageSets/Main/test.txt", inside + "ImageSets/Main/trainval.txt",
                               inside + "JPEGImages/1.jpg", inside + "JPEGImages/2.jpg"]


def test_zip(fetching, server):
    server.files["images.zip"] = zip_bytes(("val2014/", b"", 0o40755), ("val2014/1.jpg", b"jpeg"))
    fetching.archives(["images.zip", server.files["images.zip"], ["ok"], ["coco/images/val2014"]], into="coco/images")
    assert_ok(fetching())
    assert fetching.left() == ["coco/images/val2014/1.jpg"]


def test_plain_file(fetching, server):
    server.files["vgg16.pth"] = WEIGHTS
    fetching.archives(["vgg16.pth", WEIGHTS, ["ok"], ["imagenet_models/vgg16.pth"]], into="imagenet_models", plain=True)
    assert_ok(fetching())
    assert fetching.left() == ["imagenet_models/vgg16.pth"]


def test_folder_that_is_a_link_elsewhere_is_used(fetching):
    (fetching.folder / "big disk").mkdir()
    fetching.to.mkdir()
    (fetching.to / "models").symlink_to(fetching.folder / "big disk")
    assert_ok(fetching())
    assert sorted(os.listdir(fetching.folder / "big disk")) == ["README", "net.caffemodel"]


def test_archive_without_what_it_should_hold(fetching, server):
    server.files[FILE] = tar_bytes(("other/file", b""))
    fetching.archives([FILE, None, ["ok"], ["models/net.caffemodel"]])
    assert "models/net.caffemodel" in error_line(fetching())
    assert fetching.left() == [FILE + ".bad"]


@pytest.mark.parametrize("data", [b"", b"not an archive", GOOD[:len(GOOD) // 2], zip_bytes(("a", b"a" * 9999))[:-30]],
                         ids=["empty", "other", "half a tgz", "half a zip"])
def test_archive_that_is_none(fetching, server, data):
    server.files[FILE] = data
    fetching.archives([FILE, None, ["ok"], ["models/net.caffemodel"]])
    error_line(fetching())
    assert [name for name in fetching.left() if not name.endswith(".bad")] == []


# ---- the scripts themselves

SCRIPTS = ["imagenet_models", "fast_rcnn_ohem_models", "selective_search_data", "faster_rcnn_models", "voc", "coco"]
ORIGINALS = {"imagenet_models": ("www.cs.berkeley.edu/~rbg/", "ed34ca912d6782edfb673a8c3a0bda6d"),
             "fast_rcnn_ohem_models": ("graphics.cs.cmu.edu/projects/ohem/data/", "cbfd5b7ed5ec4d5cb838701cbf1f3ccb"),
             "selective_search_data": ("www.cs.berkeley.edu/~rbg/", "7078c1db87a7851b31966b96774cd9b9"),
             "faster_rcnn_models": ("www.cs.berkeley.edu/~rbg/", "ac116844f66aefe29587214272054668"),
             "voc": ("host.robots.ox.ac.uk/pascal/VOC/voc2007/", "c52e279531787c972589f7e41ab4ae64"),
             "coco": ("images.cocodataset.org/annotations/", "0a379cfc70b0e71301e0f377548639bd")}


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_asks_the_original_first_then_the_mirror_and_checks(name, tmp_path, server):
    """Through a proxy that knows no address, so nothing leaves this machine."""
    table = json.loads((ROOT / "data/scripts/sources.json").read_text())
    first = next(archive for archive in table[name]["archives"] if archive.get("default"))
    host, checksum = ORIGINALS[name]
    server.files[first["file"]] = b"not it"
    env = {**os.environ, "http_proxy": server.url, "https_proxy": server.url, "no_proxy": "127.0.0.1", "OHEM_MIRRORS": ""}
    result = subprocess.run([str(ROOT / "data/scripts" / ("fetch_%s.sh" % name)), "--to", "d", "--mirror", server.url + "/ok"],
                            cwd=tmp_path, capture_output=True, text=True, timeout=60, env=env)
    line = error_line(result)
    assert checksum in line and hashlib.md5(b"not it").hexdigest() in line
    assert host in server.asked[0][0] and server.asked[-1][0] == "/ok/" + first["file"]
    assert len(server.asked) == len(first["urls"]) + 1
    assert os.listdir(tmp_path / "d") == [first["file"] + ".bad"]


def test_no_third_party_module_is_needed(fetching):
    """-S: no site-packages, as before `make setup`."""
    args = fetching.command()[1:]
    result = subprocess.run([sys.executable, "-S", str(ROOT / "tools/fetch.py"), "imagenet_models", *args],
                            cwd=fetching.folder, env=fetching.environ, capture_output=True, text=True, timeout=60)
    assert_ok(result)
    assert fetching.left() == MODELS


def test_parts(fetching):
    for part in ("1999", "2007"):
        result = subprocess.run([str(ROOT / "data/scripts/fetch_voc.sh"), "--to", "d", part, "2012test", "--mirror", "no url"],
                                cwd=fetching.folder, capture_output=True, text=True, timeout=60)
        assert ("2010, 2012, 2012test" if part == "1999" else "no url") in error_line(result)


def test_list_names_everything(fetching):
    result = subprocess.run([sys.executable, str(ROOT / "tools/fetch.py"), "--list", "--to", str(fetching.to)],
                            capture_output=True, text=True, timeout=60)
    assert_ok(result)
    for name, (host, checksum) in ORIGINALS.items():
        assert name + ": " in result.stdout and host in result.stdout and checksum in result.stdout
