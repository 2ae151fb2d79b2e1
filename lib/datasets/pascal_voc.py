"""PASCAL VOC, and any folder in its layout."""
import contextlib
import functools
import os
import uuid

import numpy as np
from fast_rcnn.config import cfg
from utils.errors import UserError
from utils.progress import progress

from datasets.box_checks import clip_one_pixel, one_a_row
from datasets.cache import content_key
from datasets.check import require_checked
from datasets.content_hash import existing_hashes
from datasets.drawn_boxes import placement_settings
from datasets.file_imdb import file_imdb
from datasets.flags import unknown_words_lines
from datasets.image_files import image_geometry
from datasets.imdb_base import overrides
from datasets.voc_layout import (
    IMAGE_EXTENSIONS,
    VOC_CLASSES,
    folder_name,
    has_annotations,
    image_set_file,
    is_11_points,
    own_classes,
    read_image_set,
    require_folder,
)
from datasets.voc_results import pack_submission, save_scores, score_boxes, score_files, write_results
from datasets.voc_scores import fill, load_annotations
from datasets.voc_xml import NO_ANNOTATION, object_problems, placement_of, read_annotation


class pascal_voc(file_imdb):
    """pascal_voc('trainval', '2007'): the devkit at devkit_path, by default data/VOCdevkit2007.

    pascal_voc('trainval', None, 'data/mine'): any folder with JPEGImages, Annotations and ImageSets/Main.

    config: cleanup (leave no result files), use_salt (a random part in their names), use_diff (train on difficult
    objects), matlab_eval (leave them, and say how to score them with the devkit's own code), and file_imdb's.

    A subclass may set _classes and _class_to_ind after pascal_voc.__init__; or call imdb.__init__ alone and set the
    attributes below itself, with these two and _image_index.  See docs/own_layers.md.
    """

    IS_STORED = True
    DEFAULTS = {**file_imdb.DEFAULTS, "cleanup": True, "use_salt": True, "use_diff": False, "matlab_eval": False}
    _year = None            # of a devkit; None: a folder
    _image_set = ""
    _devkit_path = ""       # where a devkit's results go
    _data_path = ""         # holds JPEGImages, Annotations, ImageSets/Main
    _image_ext = ".jpg"     # IMAGE_EXTENSIONS are tried as well
    _comp_id, _salt = "comp4", ""
    _results_dir = None     # of the evaluation that runs; None: the devkit's
    _evaluated = None       # its detections, to be scored without result files

    def __init__(self, image_set, year, devkit_path=None):
        path = os.path.abspath(os.path.expanduser(devkit_path)) if year is None else None
        file_imdb.__init__(self, folder_name(path, image_set) if path else "voc_%s_%s" % (year, image_set))
        self._image_set, self._year = image_set, None if path else str(year)
        self._devkit_path = path or devkit_path or self._get_default_path()
        self._data_path = require_folder(path or os.path.join(self._devkit_path, "VOC" + self._year), self.name)
        self._classes = ("__background__",) + (own_classes(path) if path else VOC_CLASSES)
        self._class_to_ind = {name.lower(): ind for ind, name in enumerate(self._classes)}
        self._image_index = self._load_image_set_index()
        self._salt = str(uuid.uuid4())

    @property
    def annotated(self):
        """Whether its annotations are public, or there all the same."""
        return (has_annotations(self._year, self._image_set)
                or os.path.exists(self._annotation_file(self._image_index[0])))

    def problems_at(self, i):
        """What is wrong with image i and its annotation, one line for each."""
        problems = file_imdb.problems_at(self, i)
        if not self.annotated or overrides(self, pascal_voc, "gt_roidb", "_load_pascal_annotation"):
            return problems                 # a subclass that reads them itself
        path = self._annotation_file(self._image_index[i])
        try:
            annotation = read_annotation(path)
        except UserError as e:
            return problems + [str(e)]
        self.__dict__.setdefault("_unknown_words", {})[i] = annotation.unknown_words
        if problems:                        # no image, no size to hold the boxes against
            return problems + annotation.flag_problems
        placement = placement_of(annotation, image_geometry(self.image_path_at(i)))
        return annotation.flag_problems + object_problems(path, annotation.objects, placement, self._indices())

    def remarks(self):
        """A line for the flags of the images checked so far that are unknown words."""
        words_of_images = vars(self).get("_unknown_words", {}).values()
        return unknown_words_lines([word for words in words_of_images for word in words])

    def competition_mode(self, on):
        """On: result files keep their official names and stay."""
        self.config["use_salt"] = self.config["cleanup"] = not on

    def evaluate_detections(self, all_boxes, output_dir):
        """Score detections; all_boxes[class][image]: (N, 5) float [x1 y1 x2 y2 score], 0-based pixels, or [] for none.

        Prints the AP of each class and their mean; writes ap.json and <class>_pr.npz (rec, prec, ap) in output_dir,
        and as config says result files below output_dir/results.  Returns the mean AP over classes with ground truth.
        Where the annotations are not public: writes the archive for the evaluation server, and returns None.
        """
        self._require_own(all_boxes)
        if self.annotated:
            require_checked(self)
        self._results_dir, self._evaluated = output_dir, all_boxes
        try:
            return self._evaluate(all_boxes, output_dir)
        finally:
            self._results_dir = self._evaluated = None

    def _evaluate(self, all_boxes, output_dir):
        scores_files = overrides(self, pascal_voc, "_write_voc_results_file", "_get_voc_results_file_template")
        is_kept = not self._option("cleanup") or self._option("matlab_eval") or not self.annotated
        if scores_files:
            self._evaluated = None          # but what the subclass writes
        if scores_files or is_kept or overrides(self, pascal_voc, "_do_python_eval"):
            self._write_voc_results_file(all_boxes)
        if not self.annotated:
            pack_submission(output_dir, self.name, self._result_files())
            return None
        mean_ap = self._do_python_eval(output_dir)
        if self._option("matlab_eval"):
            self._do_matlab_eval(output_dir)
        if not is_kept:
            self._remove_results()
        return mean_ap

    def _remove_results(self):
        for path in self._result_files():
            with contextlib.suppress(FileNotFoundError):
                os.remove(path)

    def _result_files(self):
        return [fill(self._get_voc_results_file_template(), name) for name in self._classes[1:]]

    def _get_default_path(self):
        """The devkit of the year, where __init__ gets none."""
        return os.path.join(cfg.DATA_DIR, "VOCdevkit" + self._year)

    def _load_image_set_index(self):
        """Names of the images of the image set."""
        return read_image_set(self.name, self._data_path, self._image_set)

    @property
    def _proposals(self):
        folder = self._data_path if self._year is None else cfg.DATA_DIR
        return os.path.join(folder, "selective_search_data", self.name)

    def _indices(self):
        """{name of a class, in small letters: its index}."""
        return {name.lower(): ind for name, ind in self._class_to_ind.items()}

    def _image_file(self, index):
        stem = os.path.join(self._data_path, "JPEGImages", index)
        extensions = (self._image_ext, *IMAGE_EXTENSIONS)
        return next((stem + e for e in extensions if os.path.exists(stem + e)), stem + self._image_ext)

    def _annotation_file(self, index):
        return os.path.join(self._data_path, "Annotations", index + ".xml")

    def _source_files(self):
        annotations = [self._annotation_file(name) for name in dict.fromkeys(self._image_index)]
        return [image_set_file(self._data_path, self._image_set)] + annotations * self.annotated

    def _gt_key(self):
        files = [find(index) for find in (self._annotation_file, self._image_file) for index in self._image_index]
        settings = [self._classes, self.annotated, self._option("use_diff"), placement_settings()]
        return content_key("gt", settings, self._image_index, existing_hashes(files, self.name + " hashes"))

    def _load_pascal_annotation(self, index):
        """The gt roidb entry of the image called `index`; UserError names the first object that is wrong."""
        return self._parse_annotation(index)[0]

    def _read_annotation(self, index):
        """(roidb entry, how many boxes were clipped)."""
        if overrides(self, pascal_voc, "_load_pascal_annotation"):
            return self._load_pascal_annotation(index), 0
        return self._parse_annotation(index)

    def _parse_annotation(self, index):
        geometry = image_geometry(self._path_of(index))
        path = self._annotation_file(index)
        annotation = read_annotation(path) if self.annotated else NO_ANNOTATION
        placement = placement_of(annotation, geometry)
        class_to_ind = self._indices()
        for problem in annotation.flag_problems + object_problems(path, annotation.objects, placement, class_to_ind):
            raise UserError(problem)
        objects = self._wanted(annotation.objects)
        boxes = np.array([obj["bbox"] for obj in objects], dtype=np.float64).reshape(-1, 4) - 1     # now 0-based
        boxes, clipped = clip_one_pixel(boxes, *placement.drawn_size)
        boxes = placement.place(boxes).astype(np.float32)
        gt_classes = np.array([class_to_ind[obj["name"]] for obj in objects], dtype=np.int32)
        return {"boxes": boxes,
                "gt_classes": gt_classes,
                "gt_overlaps": one_a_row(np.ones(len(objects), np.float32), gt_classes, self.num_classes),
                "flipped": False,
                "seg_areas": (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1),
                "width": geometry.width, "height": geometry.height}, clipped

    def _wanted(self, objects):
        return [obj for obj in objects if self._option("use_diff") or not obj["difficult"]]

    def _path_of(self, index):
        """Path of the image called `index`, from a subclass's image_path_at where it has one."""
        if not overrides(self, file_imdb, "image_path_at"):
            return self.image_path_from_index(index)
        return self.image_path_at(self._positions[index])

    @functools.cached_property
    def _positions(self):
        return {index: i for i, index in reversed(list(enumerate(self._image_index)))}

    def _get_comp_id(self):
        salted = self._option("use_salt") and self.annotated       # an archive for the server has official names
        return "%s-%s" % (self._comp_id, self._salt) if salted and self._salt else self._comp_id

    def _get_voc_results_file_template(self):
        """Path of the result files, {:s} for the class, in a folder that is made where it is missing: below the output
        folder of evaluate_detections while that runs, otherwise below the devkit."""
        folder = os.path.join(self._results_dir or self._devkit_path, "results", os.path.basename(self._data_path),
                              "Main")
        os.makedirs(folder, exist_ok=True)
        return os.path.join(folder, "%s_det_%s_{:s}.txt" % (self._get_comp_id(), self._image_set))

    def _write_voc_results_file(self, all_boxes):
        """Write the result file of each class."""
        classes = list(zip(self._classes[1:], all_boxes[1:]))
        for name, per_image in progress(classes, "result files", len(classes), "classes"):
            write_results(fill(self._get_voc_results_file_template(), name), self._image_index, per_image)

    def _do_python_eval(self, output_dir="output"):
        """Score the detections of the evaluation that runs, or else the result files; returns the mean AP."""
        find_image = self._image_file if self._is_stored() else self._path_of
        annotations = load_annotations(os.path.join(self._data_path, "Annotations", "{:s}.xml"), self._image_index,
                                       self.cache_path, [find_image(index) for index in self._image_index])
        use_07_metric = is_11_points(self._year)
        if self._evaluated is None:
            template = self._get_voc_results_file_template()
            scores = score_files(self._classes[1:], template, self._image_index, annotations, use_07_metric)
        else:
            scores = score_boxes(self._classes[1:], self._evaluated[1:], annotations, use_07_metric)
        return save_scores(scores, output_dir, self.name, use_07_metric)

    def _do_matlab_eval(self, output_dir="output"):
        """Say how the devkit's own code scores the result files; MATLAB is not started."""
        print("The devkit's VOCevaldet scores these files from its results/%s/Main: %s"
              % (os.path.basename(self._data_path), fill(self._get_voc_results_file_template(), "<class>")))
