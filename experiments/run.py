#!/usr/bin/env python
"""Train and test a detector; every script in experiments/scripts runs this.

    python experiments/run.py SCRIPT METHOD ONLY_DATASET GPU_ID NET [DATASET] [--dry-run] [--cfg FILE] \\
        [--import MODULE] [--set KEY VALUE ...]

Runs the commands of `plan` in order and writes their output to one log file; --dry-run prints the commands.
"""
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "lib"), str(ROOT / "caffe-fast-rcnn" / "python")]

from utils.errors import UserError  # noqa: E402
from utils.launch import call  # noqa: E402
from utils.own_modules import VARIABLE, import_modules  # noqa: E402

from experiments.folders import find_folder, plan_folder, require_weights  # noqa: E402
from experiments.plan import Options, experiment_of, plan  # noqa: E402
from experiments.tables import read_settings, settings_table  # noqa: E402

USAGE = """\
Usage: [VARIABLE=...] {script} GPU_ID NET [DATASET] [--dry-run] [--cfg FILE ...] [--set KEY VALUE ...]
  GPU_ID     number of the GPU, or cpu
  NET        VGG16, VGG_CNN_M_1024, ZF, ResNet-50 (R-FCN), SqueezeNet or DigitNet (a folder below models/*/)
  DATASET    pascal_voc (default), or another row of experiments/scripts/{table}:
             {datasets};
             your own: voc:FOLDER in VOC's layout with the sets trainval and test (voc:A+voc:B trains on both and
             tests on A), or coco:FOLDER with trainval.json, test.json and images/; or imdb:TRAIN[+TRAIN2]/TEST,
             data sets that are known by name, such as those that a fork's module registers; or
             FOLDER, with a / or existing: the export of any labelling tool, or a folder in VOC's layout. It is imported
             to data/NAME, proposals are made, and pages on the data and on the trained net are written
  --import   a fork's module, to be imported first: --import MODULE
  --dry-run  print the commands and run none of them
  --cfg      a settings file, read after those of experiments/cfgs; may be given more than once
  --set      settings of lib/fast_rcnn/config.py, e.g. --set EXP_DIR seed_rng1701 RNG_SEED 1701
Variables: ITERS (iterations), WEIGHTS (.caffemodel to start from, none = from scratch), RESUME (a state, or auto),
           OVERWRITE=1 (train in a folder that holds another run),
           SCHEDULE=paper (the paper's longer one, where the table has it),
           PRECISION (float32, tf32 or bf16: how training and testing multiply),
           NPROC (processes that train and test together; on GPUs from GPU_ID on, one each),
           PLUS=M (train and test at several scales), B (test in two stages with voting) or M+B,
           TRAINED (a .caffemodel: only test it),
           OHEM_IMPORT (modules, with commas, as --import)
"""


def parse(words: Sequence[str], script: str, method: str,
          only: str) -> tuple[str, str, bool, str, list[str], list[str]]:
    """(GPU_ID, NET, whether --dry-run, DATASET, files after --cfg, words after --set) of a script's arguments.

    only: the one data set of a script that takes no other, or ''.
    """
    if len(words) < 2 or words[0].startswith("-") or words[1].startswith("-"):
        table = settings_table(method)
        raise SystemExit(_print_usage(script, table.name, " ".join(read_settings(method))))
    gpu, net, *rest = words
    dataset = rest.pop(0) if rest and not rest[0].startswith("--") else only or "pascal_voc"
    if only and dataset != only:
        raise UserError(f"{os.path.basename(script)} trains on {only} and takes no other data set, got {dataset}")
    dry = rest[:1] == ["--dry-run"]
    rest, cfgs = _take_cfgs(rest[dry:])
    if rest and rest[0] != "--set":
        raise UserError(f"expected --cfg or --set after the data set, got {rest[0]}; run {script} alone for help")
    return gpu, net, dry, dataset, cfgs, rest[1:]


def _take_cfgs(words):
    """(the other words, absolute paths of the files) of words that begin with `--cfg FILE`, once or more."""
    cfgs = []
    while words[:1] == ["--cfg"]:
        if len(words) < 2:
            raise UserError("--cfg needs the name of a settings file; run the script alone for help")
        places = [ROOT / words[1], Path(os.environ.get("OLDPWD", ROOT)) / words[1]]
        path = next(filter(Path.is_file, places), None)
        if path is None:
            raise UserError(f"--cfg {words[1]}: no such file in {' or '.join(str(place.parent) for place in places)}")
        cfgs.append(os.path.relpath(path, ROOT) if path.is_relative_to(ROOT) else str(path))
        words = words[2:]
    return words, cfgs


def _import_own(words):
    """Import the modules of --import and OHEM_IMPORT; returns the other words of a command line.

    They stand in OHEM_IMPORT from then on.
    """
    end = words.index("--set") if "--set" in words else len(words)
    import_modules(os.environ.get(VARIABLE, ""), VARIABLE)
    while "--import" in words[:end]:
        at = words.index("--import")
        if at + 1 == end:
            raise UserError("--import needs the name of a module; run the script alone for help")
        import_modules(words[at + 1], "--import")
        words, end = words[:at] + words[at + 2:], end - 2
    return words


def _print_usage(script, table, datasets):
    print(USAGE.format(script=script, table=table, datasets=datasets), end="", file=sys.stderr)
    return 1


def log_path(experiment: str, net: str, dataset: str, settings: Sequence[str]) -> Path:
    """A new file in experiments/logs, named after the experiment and the time."""
    name = "_".join([experiment, net, dataset.rpartition("/")[2], " ".join(settings)])
    slug = re.sub(r"[^A-Za-z0-9._-]+", "_", name)[:120]
    return ROOT / "experiments" / "logs" / f"{slug}.txt.{time.strftime('%Y-%m-%d_%H-%M-%S')}"


def run_all(commands: Sequence[Sequence[str]], log: Path) -> int:
    """Run the commands in order until one fails; output goes to screen and log. Returns the last exit code.

    Output goes through `tee` in its own session, which signals do not reach, so the log is complete.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(["tee", "-a", log], stdin=subprocess.PIPE, start_new_session=True) as tee:
        _say(tee.stdin, f"Logging output to {os.path.relpath(log, ROOT)}")
        for words in commands:
            _say(tee.stdin, f"+ {shlex.join(words)}")
            code = call(words, cwd=ROOT, stdout=tee.stdin, stderr=subprocess.STDOUT,
                        env={**os.environ, "PYTHONUNBUFFERED": "True"})
            if code:
                return code
    return 0


def _say(pipe, line):
    pipe.write(f"{line}\n".encode(errors="surrogateescape"))
    pipe.flush()


def main(words: Sequence[str]) -> int:
    """Run a script: words are its path, METHOD, the one data set it takes ('' for any), and its arguments."""
    script, method, only, *args = words
    args = _import_own(args)
    gpu, net, dry, dataset, cfgs, settings = parse(args, script, method, only)
    options = Options.from_variables(gpu, settings, os.environ, cfgs)
    folder = find_folder(method, dataset, os.environ)
    commands = plan_folder(method, net, folder, options) if folder else plan(method, net, dataset, options)
    if dry:
        print("\n".join(map(shlex.join, commands)), flush=True)
        return 0
    if folder:
        require_weights(commands)
    name = folder.name if folder else dataset
    return run_all(commands, log_path(experiment_of(method, options.plus, dataset), net, name, settings))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BrokenPipeError:     # --dry-run | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except UserError as e:
        sys.exit(f"error: {' '.join(str(e).split())}")
