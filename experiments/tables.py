"""The tables of experiments: the training and test sets of each DATASET, and the rows of the table of results."""
from pathlib import Path
from typing import NamedTuple

from utils.errors import UserError

HERE = Path(__file__).resolve().parent
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
NONE = "-"      # in a table: there is none


class Dataset(NamedTuple):
    """A row of a settings table: imdbs joined by +, the name of the net's solver, iterations."""

    train_imdb: str
    test_imdb: str
    solver: str
    iters: str
    paper_iters: str        # with SCHEDULE=paper; NONE where the paper has no longer schedule


class Row(NamedTuple):
    """A row of the table of results; plus is '' for none, paper and code are text."""

    method: str
    plus: str
    net: str
    dataset: str
    paper: str
    code: str

    @property
    def key(self) -> str:
        """Its name, as in fast_rcnn_ohem_M+B_VGG16_pascal_voc."""
        return "_".join(part for part in (self.method, self.plus, self.net, self.dataset) if part)

    @property
    def title(self) -> str:
        """Its name in the paper's tables."""
        return METHODS.get(self.method, self.method) + plus_title(self.plus)

    @property
    def script(self) -> str:
        return f"experiments/scripts/{self.method}.sh"

    def command(self, gpu: str = "0") -> str:
        """The command line that trains and tests it."""
        plus = f"PLUS={self.plus} " if self.plus else ""
        dataset = "" if self.dataset == "pascal_voc" else " " + self.dataset
        return f"{plus}./{self.script} {gpu} {self.net}{dataset}"


def plus_title(plus: str) -> str:
    """M+B -> ', +M, +B'."""
    return "".join(f", +{part}" for part in plus.split("+") if part)


def read_table(path: Path = HERE / "table.txt") -> list[Row]:
    """All rows of the table of results, in the order of the file."""
    return [Row(method, plus.replace(NONE, ""), *rest) for method, plus, *rest in _words(path)]


def settings_table(method: str) -> Path:
    """The file with the data sets and schedules of a method."""
    name = "settings_end2end.txt" if "end2end" in method else "settings.txt"
    return HERE / "scripts" / name


def read_settings(method: str) -> dict[str, Dataset]:
    """{DATASET: row} of a method's settings table."""
    return {name: Dataset(*rest) for name, *rest in _words(settings_table(method))}


def settings_of(row: Row) -> Dataset:
    """The data sets and the schedule of a row of the table of results."""
    settings = read_settings(row.method)
    if row.dataset not in settings:
        raise UserError(f"experiments/table.txt: {row.key} names {row.dataset}, which "
                        f"experiments/scripts/{settings_table(row.method).name} does not have")
    return settings[row.dataset]


def _words(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.split() for line in lines if line and not line.startswith("#")]
