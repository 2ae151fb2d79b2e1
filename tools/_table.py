"""The rows of experiments/table.txt, and what the scripts make of them."""
from collections import namedtuple

from _init_paths import ROOT
from utils.errors import UserError

METHODS = {"fast_rcnn": "Fast R-CNN", "fast_rcnn_ohem": "Fast R-CNN + OHEM",
           "faster_rcnn_alt_opt": "Faster R-CNN, alternating",
           "faster_rcnn_alt_opt_ohem": "Faster R-CNN + OHEM, alternating",
           "faster_rcnn_end2end": "Faster R-CNN, end to end",
           "faster_rcnn_end2end_ohem": "Faster R-CNN + OHEM, end to end",
           "rfcn_end2end": "R-FCN", "rfcn_end2end_ohem": "R-FCN + OHEM"}
DATASETS = {"pascal_voc": ("VOC 07 trainval", "VOC 07 test"),
            "pascal_voc_07+12": ("VOC 07 + 12 trainval", "VOC 07 test"),
            "pascal_voc_12": ("VOC 12 trainval", "VOC 12 test"),
            "pascal_voc_07++12": ("VOC 07 trainval + test, 12 trainval", "VOC 12 test"),
            "pascal_voc_07++12+coco": ("VOC 07 trainval + test, 12 trainval, COCO 14 trainval", "VOC 12 test"),
            "coco": ("COCO 14 train", "COCO 15 test-dev (here 14 minival)"),
            "coco_trainval": ("COCO 14 trainval", "COCO 15 test-dev")}
FILE = ROOT / "experiments" / "table.txt"


class Row(namedtuple("Row", "method plus net dataset paper code")):
    """One row; plus is '' for none, paper and code are text."""

    @property
    def key(self):
        """Its name, as in fast_rcnn_ohem_M+B_VGG16_pascal_voc."""
        return "_".join(part for part in (self.method, self.plus, self.net, self.dataset) if part)

    @property
    def title(self):
        """As the paper's table calls it."""
        return METHODS.get(self.method, self.method) + "".join(", +" + part for part in self.plus.split("+") if part)

    @property
    def script(self):
        return "experiments/scripts/%s.sh" % self.method

    @property
    def experiment(self):
        """Folder below output/ of what the script tests, where --set says no other EXP_DIR; see _run.sh."""
        name = self.method + ("_multiscale" if self.plus.startswith("M") else "")
        name += "_from_coco" if self.dataset.endswith("+coco") else ""
        name += "_multistage" if self.plus.endswith("B") else ""
        return "default" if name == "fast_rcnn" else name

    def command(self, gpu="0"):
        """What a user types to train and test it."""
        plus = "PLUS=%s " % self.plus if self.plus else ""
        dataset = "" if self.dataset == "pascal_voc" else " " + self.dataset
        return "%s./%s %s %s%s" % (plus, self.script, gpu, self.net, dataset)


def read_table(path=FILE):
    """All rows, in the order of the file."""
    rows = [line.split() for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return [Row(method, plus.replace("-", ""), *rest) for method, plus, *rest in rows]


def imdbs(row):
    """(training set, test set) of the row's script, from the settings table of its method."""
    name = "settings_end2end.txt" if "end2end" in row.method else "settings.txt"
    for line in (ROOT / "experiments" / "scripts" / name).read_text().splitlines():
        if line.split()[:1] == [row.dataset]:
            return tuple(line.split()[1:3])
    raise UserError("experiments/table.txt: %s names %s, which experiments/scripts/%s has not"
                    % (row.key, row.dataset, name))
