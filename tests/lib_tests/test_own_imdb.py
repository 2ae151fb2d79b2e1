"""Data sets of forks: registered by name, subclasses of ours, and classes that know nothing of ours."""
import os
import types

import numpy as np
import pytest
from datasets import by_name, factory
from datasets.check import require_trainable
from datasets.imdb import imdb
from datasets.pascal_voc import pascal_voc
from fast_rcnn.config import cfg, get_output_dir
from fast_rcnn.detections import load_detections, save_detections
from fast_rcnn.train import get_training_roidb
from scipy.sparse import csr_matrix
from support.voc_folder import make_voc_folder
from utils.errors import UserError

BOX = (10, 12, 40, 45)      # 1-based
IMAGES = {"x": (80, 60, [("cat", BOX)]), "y": (70, 60, [("dog", (20, 10, 30, 50))])}
MAT = {name: np.array([[1, 1, 30, 30], [5, 5, 44, 39]]) for name in IMAGES}     # ymin xmin ymax xmax


@pytest.fixture
def devkit(own_root):
    """Below DATA_DIR, as the original has it: VOCdevkit2007/VOC2007, with two images in trainval."""
    path = own_root / "data" / "VOCdevkit2007"
    make_voc_folder(path / "VOC2007", IMAGES, proposals=MAT)
    (path / "VOC2007" / "selective_search_data" / "VOC2007_trainval.mat").rename(
        _made(own_root / "data" / "selective_search_data") / "voc_2007_trainval.mat")
    return path


def _made(folder):
    folder.mkdir()
    return folder


@pytest.fixture
def sets():
    """The factory's table, as it was afterwards."""
    table = getattr(factory, "__sets")  # noqa: B009  (a name with two underscores is another one in a class)
    kept = dict(table)
    yield table
    table.clear()
    table.update(kept)


def one_line_error(call, *words):
    with pytest.raises(UserError) as e:
        call()
    assert "\n" not in str(e.value)
    for word in words:
        assert word in str(e.value), (word, str(e.value))


def boxes_of(roidb, i=0):
    return roidb[i]["boxes"].tolist()


# ---- by name -------------------------------------------------------------------------------------------------------------

def test_register(devkit, sets):
    factory.register("mine_trainval", lambda: pascal_voc("trainval", "2007"))
    assert "mine_trainval" in factory.list_imdbs() and by_name.load_imdb("mine_trainval").num_images == 2
    assert by_name.split_names("mine_trainval+voc_2007_test") == ["mine_trainval", "voc_2007_test"]
    assert by_name.imdb_name("mine_trainval") == "voc_2007_trainval"        # the imdb says what it is called
    factory.register("mine_trainval", lambda: pascal_voc("trainval", "2007", str(devkit)))      # replaces it


def test_what_cannot_be_registered(sets):
    for name in ("", "a+b", "a/b", "voc:x", "a b"):
        one_line_error(lambda name=name: factory.register(name, list), "cannot be registered", "rename it")
    one_line_error(lambda: factory.register("mine", pascal_voc.__doc__), "mine", "a function that makes the imdb")


def test_the_originals_table(devkit, sets):
    sets["fork_trainval"] = lambda: pascal_voc("trainval", "2007")
    assert factory.get_imdb("fork_trainval").num_images == 2
    one_line_error(lambda: by_name.load_imdb("fork_trainvall"), "fork_trainvall", "nearest: fork_trainval", "--import")


FORKS_FACTORY = """
__sets = {}
from datasets.pascal_voc import pascal_voc
for year in ['2007']:
    for split in ['trainval']:
        name = 'only_{}_{}'.format(year, split)
        __sets[name] = (lambda split=split, year=year: pascal_voc(split, year))

def get_imdb(name):
    if name not in __sets:
        raise KeyError('Unknown dataset: {}'.format(name))
    return __sets[name]()

def list_imdbs():
    return __sets.keys()
"""


def test_a_forks_own_factory(devkit, own_root, monkeypatch):
    """Its file stands in place of ours, with the original's two functions and nothing else."""
    module = types.ModuleType("datasets.factory")
    exec(FORKS_FACTORY, vars(module))
    monkeypatch.setattr(by_name, "factory", module)
    assert by_name.load_imdb("only_2007_trainval").num_images == 2
    assert by_name.split_names("only_2007_trainval+only_2007_trainval") == ["only_2007_trainval"] * 2
    folder = make_voc_folder(own_root / "toy", IMAGES)
    assert by_name.load_imdb("voc:%s@trainval" % folder).num_images == 2
    one_line_error(lambda: by_name.load_imdb("voc_2007_trainval"), "nearest: only_2007_trainval")


# ---- subclasses of ours --------------------------------------------------------------------------------------------------

def test_path_and_image_set_of_a_subclass(devkit, own_root):
    class moved(pascal_voc):
        def _get_default_path(self):
            return os.path.join(cfg.DATA_DIR, "elsewhere" + self._year)

        def _load_image_set_index(self):
            return [name for name in pascal_voc._load_image_set_index(self) if name != "x"]

    devkit.rename(own_root / "data" / "elsewhere2007")
    assert moved("trainval", "2007").image_index == ["y"]


def test_images_of_a_subclass(devkit, own_root):
    """In another folder, where the devkit has none: paths, sizes and hashes are those of its images."""
    class elsewhere(pascal_voc):
        def image_path_at(self, i):
            return str(own_root / "other" / (self._image_index[i] + ".jpg"))

    class by_index(pascal_voc):
        def image_path_from_index(self, index):
            return str(own_root / "other" / (index + self._image_ext))

    (devkit / "VOC2007" / "JPEGImages").rename(own_root / "other")
    for kind in (elsewhere, by_index):
        theirs = kind("trainval", "2007")
        require_trainable(theirs)
        assert [theirs.roidb[1][key] for key in ("width", "height")] == [70, 60]
        assert len(set(theirs.image_hashes())) == 2 and None not in theirs.image_hashes()
        assert [entry["image"] for entry in get_training_roidb(theirs)[2:]] == [str(own_root / "other" / "x.jpg"),
                                                                               str(own_root / "other" / "y.jpg")]
    one_line_error(lambda: pascal_voc("trainval", "2007").gt_roidb(), "2 problems")


class OneObject(pascal_voc):
    """An annotation without width, height and seg_areas, its boxes unsigned, as the original's first version has them."""
    box = (0, 0, 20, 30)

    def _load_pascal_annotation(self, index):
        overlaps = np.zeros((1, self.num_classes), np.float32)
        overlaps[0, 3] = 1
        return {"boxes": np.array([self.box], np.float64).astype(np.uint16), "gt_classes": np.array([3], np.int32),
                "gt_overlaps": csr_matrix(overlaps), "flipped": False, "source": index}


def test_annotations_of_a_subclass(devkit):
    """Ours was stored before, from the same files; a subclass is not served with it, nor ours with the subclass's."""
    assert boxes_of(pascal_voc("trainval", "2007").roidb)[0] == [9, 11, 39, 44]
    theirs = OneObject("trainval", "2007")
    entry = theirs.roidb[0]
    assert entry["boxes"].dtype == np.float32 and entry["boxes"][0].tolist() == [0, 0, 20, 30]
    assert entry["seg_areas"].tolist() == [21 * 31, 0, 0] and entry["source"] == "x"
    assert entry["gt_overlaps"][:, 3].toarray().max() == 1 and theirs.source_key() is None
    assert boxes_of(pascal_voc("trainval", "2007").roidb)[0] == [9, 11, 39, 44]


def test_annotations_of_a_subclass_need_no_xml(devkit):
    for file in (devkit / "VOC2007" / "Annotations").iterdir():
        file.write_text("not XML")
    theirs = OneObject("trainval", "2007")
    require_trainable(theirs)
    assert len(theirs.gt_roidb()) == 2
    with pytest.raises(UserError, match="not valid XML|XML"):
        require_trainable(pascal_voc("trainval", "2007"))


def test_an_inverted_box_of_a_subclass(devkit):
    """-1 in unsigned integers, which the original trains on, or fails on when it mirrors images."""
    theirs = OneObject("trainval", "2007")
    theirs.box = (65535, 0, 20, 30)
    one_line_error(lambda: theirs.roidb, "x.jpg", "OneObject", "inverted", "65535 0 20 30")


def test_boxes_beyond_the_image_are_counted(devkit, capsys):
    theirs = OneObject("trainval", "2007")
    theirs.box = (0, 0, 90, 30)
    assert boxes_of(theirs.gt_roidb()) == [[0, 0, 90, 30]]
    assert "2 boxes reach beyond their image; OneObject" in capsys.readouterr().out


def test_ground_truth_of_a_subclass(devkit):
    class own_gt(pascal_voc):
        def gt_roidb(self):
            return [OneObject._load_pascal_annotation(types.SimpleNamespace(num_classes=21, box=OneObject.box), index)
                    for index in self.image_index]

    assert [len(entry["boxes"]) for entry in own_gt("trainval", "2007").roidb] == [3, 3]


def test_proposals_of_a_subclass(devkit, own_root):
    class own_boxes(pascal_voc):
        def _load_selective_search_roidb(self, gt_roidb):
            return self.create_roidb_from_box_list([np.array([[9, 11, 39, 44]], np.uint16)] * 2, gt_roidb)

    pascal_voc("trainval", "2007").roidb  # noqa: B018
    (own_root / "data" / "selective_search_data" / "voc_2007_trainval.mat").unlink()
    theirs = own_boxes("trainval", "2007")
    require_trainable(theirs)                       # which asks for no file of ours
    assert boxes_of(theirs.roidb) == [[9, 11, 39, 44]] * 2 and theirs.roidb[0]["gt_overlaps"][1].max() == 1


def test_proposals_of_a_subclass_from_ours(devkit):
    class best_one(pascal_voc):
        def _load_selective_search_roidb(self, gt_roidb):
            roidb = pascal_voc._load_selective_search_roidb(self, gt_roidb)
            return self.create_roidb_from_box_list([entry["boxes"][:1] for entry in roidb], gt_roidb)

    assert len(pascal_voc("trainval", "2007").roidb[0]["boxes"]) == 3
    assert boxes_of(best_one("trainval", "2007").roidb) == [[9, 11, 39, 44], [0, 0, 29, 29]]


def test_rpn_proposals_of_a_subclass(devkit, tmp_path):
    class own_rpn(pascal_voc):
        def _load_rpn_roidb(self, gt_roidb):
            assert self.config["rpn_file"] == "a.pkl" and len(gt_roidb) == 2
            return self.create_roidb_from_box_list([np.array([[1, 2, 3, 4.5]])] * 2, gt_roidb)

    class own_both(pascal_voc):
        def rpn_roidb(self):
            return self.gt_roidb()

    theirs = own_rpn("trainval", "2007")
    theirs.config["rpn_file"] = "a.pkl"
    theirs.set_proposal_method("rpn")
    assert boxes_of(theirs.roidb)[1] == [1, 2, 3, 4.5]
    theirs = own_both("trainval", "2007")
    theirs.set_proposal_method("rpn")
    assert len(theirs.roidb[0]["boxes"]) == 1


def test_widths_of_a_subclass(devkit):
    class wide(pascal_voc):
        def _get_widths(self):
            return [100] * self.num_images

    theirs = wide("trainval", "2007")
    theirs.append_flipped_images()
    assert boxes_of(theirs.roidb, 2)[0] == [60, 11, 90, 44] and theirs.num_images == 4


def test_imdb_init_alone(devkit):
    """A common way: pascal_voc's methods, with attributes of one's own and a config that lacks keys of ours."""
    class things(pascal_voc):
        def __init__(self, image_set, year):
            imdb.__init__(self, "things_" + year + "_" + image_set)
            self._year, self._image_set = year, image_set
            self._devkit_path = self._get_default_path()
            self._data_path = os.path.join(self._devkit_path, "VOC" + self._year)
            self._classes = ("__background__", "dog", "cat")
            self._class_to_ind = dict(zip(self.classes, range(self.num_classes)))
            self._image_ext = ".jpg"
            self._image_index = self._load_image_set_index()
            self._roidb_handler = self.gt_roidb
            self.config = {"cleanup": True, "use_salt": True, "use_diff": False, "matlab_eval": False}

    theirs = things("trainval", "2007")
    require_trainable(theirs)
    roidb = get_training_roidb(theirs)
    assert [entry["gt_classes"].tolist() for entry in roidb] == [[2], [1]] * 2
    cat, theirs = [np.array([[9, 11, 39, 44, .5]], np.float32), []], things("trainval", "2007")
    assert theirs.evaluate_detections([[[], []], [[], []], cat], get_output_dir(theirs)) == pytest.approx(.5)


def test_classes_of_a_subclass(devkit):
    """Set after pascal_voc.__init__; two names of annotations may be one class."""
    class animals(pascal_voc):
        def __init__(self):
            super().__init__("trainval", "2007")
            self._classes = ("__background__", "animal")
            self._class_to_ind = {"__background__": 0, "Cat": 1, "dog": 1}

    assert [entry["gt_classes"][0] for entry in animals().gt_roidb()] == [1, 1]
    assert [entry["gt_classes"][0] for entry in pascal_voc("trainval", "2007").gt_roidb()] == [8, 12]


def test_the_test_set_of_a_later_year_may_have_annotations(own_root):
    """PASCAL's have none from 2008 on; a fork's may."""
    make_voc_folder(own_root / "data" / "VOCdevkit2012" / "VOC2012", IMAGES, "test")
    assert pascal_voc("test", "2012").annotated and len(pascal_voc("test", "2012").gt_roidb()[0]["boxes"]) == 1


# ---- their evaluation ----------------------------------------------------------------------------------------------------

def cats(score=.5):
    found = [[[], []] for _ in range(21)]
    found[8] = [np.array([[9, 11, 39, 44, score], [50, 50, 59, 59, .9]], np.float32), []]
    return found


def test_result_files_of_a_subclass(devkit, tmp_path):
    """What it writes is what is scored: without the wrong detection the AP is 1, not one half."""
    class best(pascal_voc):
        def _get_voc_results_file_template(self):
            return str(tmp_path / "mine_{:s}.txt")

        def _write_voc_results_file(self, all_boxes):
            for name, per_image in zip(self.classes[1:], all_boxes[1:]):
                lines = ["%s %f %d %d %d %d" % (index, dets[0][4], *(dets[0][:4] + 1))
                         for index, dets in zip(self.image_index, per_image) if len(dets)]
                (tmp_path / ("mine_%s.txt" % name)).write_text("\n".join(lines))

    assert pascal_voc("trainval", "2007").evaluate_detections(cats(), str(tmp_path / "a")) == pytest.approx(.25)
    theirs = best("trainval", "2007")
    assert theirs.evaluate_detections(cats(), str(tmp_path / "b")) == pytest.approx(.5)
    assert list(tmp_path.glob("mine_*")) == []              # config['cleanup']
    theirs.competition_mode(True)
    theirs.evaluate_detections(cats(), str(tmp_path / "c"))
    assert (tmp_path / "mine_cat.txt").read_text().startswith("x 0.500000 10 12 40 45")


def test_python_and_matlab_eval_of_a_subclass(devkit, tmp_path):
    class own_eval(pascal_voc):
        def _do_python_eval(self, output_dir="output"):
            with open(self._get_voc_results_file_template().format("cat"), encoding="utf-8") as f:
                self.lines = f.readlines()
            return 0.75

        def _do_matlab_eval(self, output_dir="output"):
            self.matlab = output_dir

    theirs = own_eval("trainval", "2007")
    theirs.config["matlab_eval"] = True
    assert theirs.evaluate_detections(cats(), str(tmp_path / "out")) == 0.75
    assert theirs.lines[0] == "x 0.5 10 12 40 45\n" and theirs.matlab == str(tmp_path / "out")


def test_evaluation_as_the_originals_runs_it(devkit, tmp_path):
    """A fork's evaluate_detections calls the parts in turn; the files lie below the devkit then."""
    class originals(pascal_voc):
        def evaluate_detections(self, all_boxes, output_dir):
            self._write_voc_results_file(all_boxes)
            return self._do_python_eval(output_dir)

    theirs = originals("trainval", "2007")
    assert theirs.evaluate_detections(cats(), str(tmp_path)) == pytest.approx(.25)
    assert len(list((devkit / "results" / "VOC2007" / "Main").glob("comp4-*_det_trainval_*.txt"))) == 20


# ---- classes that know nothing of ours -----------------------------------------------------------------------------------

class Bare:
    """The original's imdb, as far as training and testing ask for it."""

    def __init__(self, paths):
        self.name, self.classes, self.num_classes, self.config = "bare", ("__background__", "cat"), 2, {}
        self.image_index, self._paths = [os.path.basename(path) for path in paths], paths

    @property
    def num_images(self):
        return len(self.image_index)

    def image_path_at(self, i):
        return self._paths[i]


def test_an_imdb_of_the_original(devkit, sets, tmp_path):
    paths = [str(devkit / "VOC2007" / "JPEGImages" / (name + ".jpg")) for name in IMAGES]
    sets["bare"] = lambda: Bare(paths)
    bare = by_name.load_imdb("bare")
    assert isinstance(bare, Bare) and bare.annotated and bare.source_key() is None and bare.proposal_names() == ["x.jpg", "y.jpg"]
    require_trainable(bare)
    found = [[[], []], [np.array([[1, 2, 3, 4, .5]], np.float32), np.zeros((0, 5), np.float32)]]
    save_detections(str(tmp_path / "detections.npz"), found, bare)
    assert load_detections(str(tmp_path / "detections.npz"), bare)[1][0].tolist() == [[1, 2, 3, 4, .5]]
    os.remove(paths[1])
    with pytest.raises(UserError, match="y.jpg does not exist"):
        require_trainable(by_name.load_imdb("bare"))
