"""The commands of an experiment, for the scripts, the matrix and the table of results."""
import glob
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from datasets.by_name import imdb_name, split_names
from fast_rcnn.config import output_path
from utils.errors import UserError
from utils.yaml_files import load_yaml

from experiments.tables import NONE, Dataset, read_settings

ROOT = Path(__file__).resolve().parent.parent
OWN_ITERS = "40000"             # of a data set that is in no table
SQUEEZENET_ITERS = "8000"
TEST_FLAGS = ("--num_dets", "2000", "--det_thresh", "0.00001")
SHUTDOWN_SECONDS = "120"        # for the iteration that runs, and a snapshot
SCALES_OF = {"": False, "B": False, "M": True, "M+B": True}     # PLUS: whether at several scales


@dataclass(frozen=True)
class Options:
    """The options of an experiment, named after the scripts' variables; '' if not given."""

    gpu: str = "0"
    settings: tuple[str, ...] = ()      # KEY VALUE ... of --set
    cfgs: tuple[str, ...] = ()          # settings files of --cfg, read after the method's own
    iters: str = ""
    weights: str = ""
    resume: str = ""
    overwrite: str = ""
    schedule: str = ""
    precision: str = ""
    nproc: str = ""
    plus: str = ""
    trained: str = ""
    ohem_import: str = ""       # modules to import first, with commas between them

    @classmethod
    def from_variables(cls, gpu: str, settings: Sequence[str], variables: Mapping[str, str],
                       cfgs: Sequence[str] = ()) -> "Options":
        """ITERS=100 in `variables` becomes iters='100'."""
        names = [field.name for field in fields(cls) if field.name not in ("gpu", "settings", "cfgs")]
        return cls(gpu, tuple(settings), tuple(cfgs), **{name: variables.get(name.upper(), "") for name in names})


def plan(method: str, net: str, dataset: str, options: Options) -> list[list[str]]:
    """The commands of an experiment, each a list of words: the training (unless options.trained), then the test.

    method: a folder below models/<dataset>/<net>/; dataset: DATASET of the scripts. Raises UserError for unknown
    names and for options that exclude each other.
    """
    if options.plus not in SCALES_OF:
        raise UserError(f"unknown PLUS {options.plus}; use M, B or M+B")
    data = _scheduled(dataset_of(method, dataset), dataset, net, options.schedule)
    model = _model_folder(method, net)
    launch = _launcher(method, options.nproc)
    device = ["--gpu", options.gpu] + (["--precision", options.precision] if options.precision else [])
    device += ["--import", options.ohem_import] if options.ohem_import else []
    commands, trained = [], options.trained
    if not trained:
        settings = _settings(method, experiment_of(method, _training_plus(options.plus), dataset), options.settings)
        cfgs = [*cfg_files(method, net, _training_plus(options.plus)), *options.cfgs]
        iters = options.iters or data.iters
        commands.append([*launch, *_training_tool(method, net, model, data.solver, dataset), *device,
                         "--imdb", data.train_imdb, "--iters", iters, *_start(method, net, dataset, options),
                         *_cfg_flags(cfgs), *settings])
        trained = trained_net(method, net, data, iters, cfgs, settings)
    settings = _settings(method, experiment_of(method, options.plus, dataset), options.settings)
    commands.append([*launch, "tools/test_net.py", *device, "--def", os.path.join(model, _test_net(method)),
                     "--net", trained, "--imdb", data.test_imdb, *TEST_FLAGS,
                     *_cfg_flags([*cfg_files(method, net, options.plus), *options.cfgs]), *settings])
    return commands


def outcome(method: str, net: str, dataset: str, options: Options) -> tuple[Path, Path]:
    """(the caffemodel that the training of `plan` leaves, the folder of its test's results)."""
    test = plan(method, net, dataset, options)[-1]
    trained = ROOT / test[test.index("--net") + 1]
    test_imdb = test[test.index("--imdb") + 1]
    settings = test[test.index("--set"):] if "--set" in test else []
    folder = output_path(exp_dir_of([*cfg_files(method, net, options.plus), *options.cfgs], settings),
                         imdb_name(test_imdb))
    return trained, Path(folder) / trained.stem


def dataset_of(method: str, dataset: str) -> Dataset:
    """The training and test sets of a DATASET: a row of the method's table, or the user's own folders."""
    if dataset.startswith("voc:"):
        folders = split_names(dataset)
        return Dataset("+".join(f"{folder}@trainval" for folder in folders), f"{folders[0]}@test", "solver",
                       OWN_ITERS, NONE)
    if dataset.startswith("coco:"):
        images = os.path.join(dataset.removeprefix("coco:"), "images")
        return Dataset(f"{dataset}/trainval.json@{images}", f"{dataset}/test.json@{images}", "solver", OWN_ITERS, NONE)
    if dataset.startswith("imdb:"):
        return _of_imdbs(dataset)
    rows = read_settings(method)
    if dataset not in rows:
        raise UserError(f"unknown data set {dataset}; use voc:FOLDER, coco:FOLDER, imdb:TRAIN/TEST or one of: "
                        f"{' '.join(rows)}")
    return rows[dataset]


def _of_imdbs(dataset):
    """That of imdb:TRAIN[+TRAIN2]/TEST, names of imdbs."""
    train, _, test = dataset.removeprefix("imdb:").rpartition("/")
    if not train or not test:
        raise UserError(f"data set {dataset}: expected imdb:TRAIN/TEST, names of data sets as --imdb of the tools "
                        "takes them, such as imdb:mine_train+voc_2007_trainval/mine_test")
    return Dataset(train, test, "solver", OWN_ITERS, NONE)


def experiment_of(method: str, plus: str, dataset: str) -> str:
    """Default EXP_DIR of a test; that of its training is the same without +B."""
    name = method
    if SCALES_OF[plus]:
        name += "_multiscale"
    if _starts_from_coco(dataset):
        name += "_from_coco"
    if plus.endswith("B"):
        name += "_multistage"
    return name


def _starts_from_coco(dataset):
    return dataset.endswith("+coco") and ":" not in dataset     # not a folder called so


def default_exp_dir(method: str, net: str, plus: str, dataset: str) -> str:
    """EXP_DIR of a script's test where --set gives none."""
    settings = _settings(method, experiment_of(method, plus, dataset), ())
    return exp_dir_of(cfg_files(method, net, plus), settings)


def cfg_files(method: str, net: str, plus: str) -> list[str]:
    """Settings files of an experiment, those that exist; a later one overrides an earlier one."""
    names = [method, net, f"{method}_{net}"]
    if SCALES_OF[plus]:
        names += ["multiscale", f"multiscale_{net}"]
    if plus.endswith("B"):
        names += ["multistage"]
    paths = [os.path.join("experiments", "cfgs", f"{name}.yml") for name in names]
    return [path for path in paths if (ROOT / path).is_file()]


def exp_dir_of(cfgs: Sequence[str], settings: Sequence[str]) -> str:
    """EXP_DIR after the settings files and the words of --set."""
    return _setting("EXP_DIR", "default", cfgs, settings)


def _setting(key, default, cfgs, settings):
    """The value of a setting as text, after the settings files and the words of --set."""
    value = default
    for path in cfgs:
        with open(ROOT / path, encoding="utf-8") as f:
            branch = load_yaml(f) or {}
        *parents, leaf = key.split(".")
        for parent in parents:
            branch = branch.get(parent, {})
        value = branch.get(leaf, value)
    pairs = settings[1:]
    return dict(zip(pairs[0::2], pairs[1::2])).get(key, value)


def trained_net(method: str, net: str, data: Dataset, iters: str, cfgs: Sequence[str], settings: Sequence[str]) -> str:
    """Path of the caffemodel that a training leaves, relative to the project's root where it lies below it.

    cfgs, settings: settings files and the words of --set of the training.
    """
    folder = output_path(exp_dir_of(cfgs, settings),
                         "+".join(imdb_name(name) for name in split_names(data.train_imdb)))
    name = f"{net}_faster_rcnn_final.caffemodel"
    if not _alternates(method):
        infix = _setting("TRAIN.SNAPSHOT_INFIX", "", cfgs, settings)
        name = f"{_snapshot_prefix(method, net, data.solver, infix)}_iter_{iters}.caffemodel"
    path = os.path.join(folder, name)
    return os.path.relpath(path, ROOT) if path.startswith(f"{ROOT}{os.sep}") else path


def _snapshot_prefix(method, net, solver, infix):
    from fast_rcnn.prototxt import read_solver  # here, as it loads PyTorch
    from training.fitting import snapshot_prefix
    return snapshot_prefix(read_solver(ROOT / _model_folder(method, net) / f"{solver}.prototxt"), infix)


def _scheduled(data, dataset, net, schedule):
    """`data` with the solver and iterations of SCHEDULE and of the net."""
    if schedule == "paper":
        if data.paper_iters == NONE:
            raise UserError(f"SCHEDULE=paper is not known for {dataset}; leave it out")
        return data._replace(solver="solver_200k", iters=data.paper_iters)
    if schedule:
        raise UserError(f"unknown SCHEDULE {schedule}; use paper, or leave it out")
    return data._replace(iters=SQUEEZENET_ITERS) if net == "SqueezeNet" else data


def _model_folder(method, net):
    """models/<data set>/<net>/<method>, relative to the root."""
    found = sorted(ROOT.glob(f"models/*/{glob.escape(net)}/{method}"))
    if not found:
        raise UserError(f"unknown net {net}: no folder models/*/{net}/{method}")
    return str(found[0].relative_to(ROOT))


def _alternates(method):
    return method.startswith("faster_rcnn_alt_opt")


def _test_net(method):
    return "faster_rcnn_test.pt" if _alternates(method) else "test.prototxt"


def _launcher(method, nproc):
    """The words that start a tool."""
    python = sys.executable
    if python.startswith(f"{ROOT}{os.sep}"):
        python = os.path.relpath(python, ROOT)
    if nproc in ("", "1"):
        return [python]
    if _alternates(method):
        raise UserError(f"NPROC does not go with {method}; leave it out, or use faster_rcnn_end2end")
    return [python, "tools/torchrun.py", "--standalone", "--nproc_per_node", nproc,
            "--shutdown-timeout", SHUTDOWN_SECONDS]


def _training_plus(plus):
    """PLUS for the training; +B applies to the test only."""
    return "M" if SCALES_OF[plus] else ""


def _training_tool(method, net, model, solver, dataset):
    if _alternates(method):
        if solver != "solver":
            raise UserError(f"alternating optimisation has no schedule for {dataset}")
        return ["tools/train_faster_rcnn_alt_opt.py", "--net_name", net]
    path = os.path.join(model, f"{solver}.prototxt")
    if not (ROOT / path).is_file():
        raise UserError(f"{net} has no {path}, the schedule for {dataset}")
    return ["tools/train_net.py", "--solver", path]


def _start(method, net, dataset, options):
    """The flags for the start of a training."""
    weights = options.weights or _default_weights(method, net, dataset, options)
    flags = ["--weights", weights] if weights != "none" else []
    if options.resume:
        flags += ["--resume", options.resume]
    if options.overwrite not in ("", "0"):
        flags += ["--overwrite"]
    return flags


def _default_weights(method, net, dataset, options):
    if _starts_from_coco(dataset):
        return _net_of_coco(method, net, dataset, options)
    if net == "DigitNet":
        return "data/digits_pretrained/DigitNet.caffemodel" if dataset == "digits" else "none"
    names = {"SqueezeNet": "SqueezeNet", "ResNet-50": "ResNet-50-model"}
    return f"data/imagenet_models/{names.get(net, net + '.v2')}.caffemodel"


def _net_of_coco(method, net, dataset, options):
    """The net that the same method trained on coco_trainval, with the same PLUS."""
    plus = _training_plus(options.plus)
    data = dataset_of(method, "coco_trainval")
    settings = _settings(method, experiment_of(method, plus, "coco_trainval"), ())
    path = trained_net(method, net, data, data.iters, cfg_files(method, net, plus), settings)
    if not (ROOT / path).is_file():
        raise UserError(f"{dataset} starts from a net trained on COCO, and there is no {path}; train it first, with "
                        "the same PLUS and the data set coco_trainval, or set WEIGHTS=FILE")
    return path


def _settings(method, experiment, settings):
    """The words of --set: EXP_DIR if it is not the default, then the user's, which take precedence."""
    words = ["EXP_DIR", experiment] if experiment != method else []
    words += settings
    return ["--set", *words] if words else []


def _cfg_flags(paths):
    return [word for path in paths for word in ("--cfg", path)]
