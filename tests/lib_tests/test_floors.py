"""Imports within lib run downwards, as the table in lib/README.md lists its floors."""
import ast
import importlib
import re

import pytest
from support.reference import ROOT

LIB = ROOT / "lib"
ROW = re.compile(r"^\| G(\d) \| (.*?) \|", re.MULTILINE)
IMPORT = re.compile(r"^(?:from|import|cimport) ([\w.]+)(?: c?import (\w+))?", re.MULTILINE)


def floors():
    """{package or module, with dots: floor} of the table."""
    found = {}
    for floor, names in ROW.findall((LIB / "README.md").read_text(encoding="utf-8")):
        for name in re.findall("`(.*?)`", names):
            head, braces, rest = name.partition("{")
            parts = [head + part for part in rest.partition("}")[0].split(",")] if braces else [name]
            found.update((part.removesuffix(".py").strip("/").replace("/", "."), int(floor)) for part in parts)
    return found


def floor_of(module, known):
    """The floor of the longest name in the table that `module` is, or lies in; None outside lib."""
    while module and module not in known:
        module = module.rpartition(".")[0]
    return known.get(module)


def imports(path):
    """Modules that a file imports; `from a import b` may name the module a.b, and is given so."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".pyx":
        return [".".join(filter(None, names)) for names in IMPORT.findall(text)]
    nodes = list(ast.walk(ast.parse(text)))
    plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return plain + [f"{node.module}.{alias.name}" for node in nodes if isinstance(node, ast.ImportFrom)
                    for alias in node.names]


def sources():
    """{module: path} of lib."""
    paths = [path for suffix in ("py", "pyx") for path in LIB.glob(f"*/*.{suffix}")]
    return {".".join(path.relative_to(LIB).with_suffix("").parts): path for path in paths}


def test_every_package_of_lib_is_in_the_table():
    assert {module for module in sources() if floor_of(module, floors()) is None} == set()
    folders = {name.partition(".")[0] for name in floors()}
    assert all((LIB / folder).is_dir() for folder in folders) and len(sources()) > 60


def test_no_import_runs_up():
    known = floors()
    arrows = [(module, floor_of(module, known), imported, floor_of(imported, known))
              for module, path in sources().items() for imported in imports(path)]
    assert len([arrow for arrow in arrows if arrow[3] is not None]) > 100
    assert [arrow for arrow in arrows if arrow[3] is not None and arrow[3] > arrow[1]] == []


def test_lib_never_imports_torch():
    roots = {imported.partition(".")[0] for path in sources().values() for imported in imports(path)}
    assert "numpy" in roots and "torch" not in roots


# what forks of py-faster-rcnn, and of the OHEM code, import
UPSTREAM = {
    "fast_rcnn.config": "cfg cfg_from_file cfg_from_list get_output_dir _merge_a_into_b __C",
    "fast_rcnn.nms_wrapper": "nms", "fast_rcnn.bbox_transform": "bbox_transform bbox_transform_inv clip_boxes",
    "fast_rcnn.train": "SolverWrapper filter_roidb get_training_roidb train_net",
    "fast_rcnn.test": "apply_nms im_detect test_net vis_detections _get_blobs _get_image_blob _get_rois_blob _project_im_rois",
    "datasets.factory": "get_imdb list_imdbs __sets", "datasets.imdb": "imdb",
    "datasets.pascal_voc": "pascal_voc", "datasets.coco": "coco", "datasets.voc_eval": "parse_rec voc_ap voc_eval",
    "datasets.ds_utils": "filter_small_boxes unique_boxes validate_boxes xywh_to_xyxy xyxy_to_xywh",
    "nms.cpu_nms": "cpu_nms", "nms.gpu_nms": "gpu_nms", "nms.py_cpu_nms": "py_cpu_nms", "utils.cython_nms": "nms",
    "roi_data_layer.layer": "OHEMDataLayer RoIDataLayer",
    "roi_data_layer.minibatch": "get_allrois_minibatch get_minibatch get_ohem_minibatch select_hard_examples _all_rois "
                                "_get_bbox_regression_labels _get_image_blob _project_im_rois _sample_rois",
    "roi_data_layer.roidb": "add_bbox_regression_targets prepare_roidb _compute_targets",
    "rpn.anchor_target_layer": "AnchorTargetLayer _compute_targets _unmap",
    "rpn.proposal_layer": "ProposalLayer _filter_boxes",
    "rpn.proposal_target_layer": "ProposalTargetLayer _compute_targets _get_bbox_regression_labels _sample_rois",
    "rpn.generate": "im_proposals imdb_proposals _get_image_blob",
    "rpn.generate_anchors": "generate_anchors _mkanchors _ratio_enum _scale_enum _whctrs",
    "utils.blob": "im_list_to_blob prep_im_for_blob", "utils.cython_bbox": "bbox_overlaps", "utils.timer": "Timer",
    "pycocotools.coco": "COCO", "pycocotools.cocoeval": "COCOeval", "pycocotools.mask": "decode",
}
# of these a fork has no file of its own in place of ours: the first is wanted whole, the others are compiled or not lib's
NOT_REPLACED = {"fast_rcnn.config", "nms.cpu_nms", "utils.cython_bbox", "pycocotools.coco", "pycocotools.cocoeval",
                "pycocotools.mask"}


@pytest.mark.parametrize("module", UPSTREAM)
def test_upstreams_names_stand_where_forks_look_for_them(module):
    found = importlib.import_module(module)
    assert [name for name in UPSTREAM[module].split() if not hasattr(found, name)] == []


def imported_names(path):
    """(module, name) of each `from module import name` of a file."""
    return [(node.module, alias.name) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.ImportFrom) for alias in node.names]


def test_a_fork_may_have_its_own_file_in_place_of_ours():
    """Nobody needs more of such a file than the original's names; only tools/demo.py and detect.py run on our own test.py alone."""
    paths = [path for path in [*sources().values(), *(ROOT / "tools").glob("*.py")] if path.suffix == ".py"]
    wanted = {(module, name) for path in paths if path.name != "_detector.py" for module, name in imported_names(path)
              if module in UPSTREAM.keys() - NOT_REPLACED}
    assert len(wanted) > 20 and {(module, name) for module, name in wanted if name not in UPSTREAM[module].split()} == set()


# Who reads cfg below training and testing: data sets, which are found by it, Python layers, and upstream's functions
# that take no settings; roi_data_layer.settings makes records for these.
READERS_OF_CFG = {
    "datasets.coco_layout", "datasets.drawn_boxes", "datasets.file_imdb", "datasets.imdb_base", "datasets.own_folders",
    "datasets.pascal_voc", "roi_data_layer.layer", "roi_data_layer.minibatch", "roi_data_layer.settings",
    "rpn.anchor_target_layer", "rpn.generate", "rpn.proposal_layer", "rpn.proposal_target_layer",
}


def test_settings_are_read_at_the_edge_alone():
    known = floors()
    readers = {module for module, path in sources().items()
               if "fast_rcnn.config.cfg" in imports(path) and floor_of(module, known) < 4}
    assert readers == READERS_OF_CFG
