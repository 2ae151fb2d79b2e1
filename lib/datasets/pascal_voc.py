"""PASCAL VOC, and any folder in its layout."""
import os
import uuid

import numpy as np
from utils.errors import UserError
from utils.progress import progress

from datasets.cache import content_key
from datasets.check import require_checked
from datasets.content_hash import existing_hashes
from datasets.drawn_boxes import placement_settings
from datasets.ds_utils import clip_one_pixel, one_a_row
from datasets.file_imdb import file_imdb
from datasets.flags import unknown_words_lines
from datasets.image_files import image_geometry
from datasets.voc_eval import fill, load_annotations
from datasets.voc_layout import devkit_layout, folder_layout, image_set_file, read_image_set
from datasets.voc_results import pack_submission, save_scores, score_boxes, write_results
from datasets.voc_xml import NO_ANNOTATION, object_problems, placement_of, read_annotation

IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".JPG", ".JPEG", ".PNG")


class pascal_voc(file_imdb):
    """pascal_voc('trainval', '2007'): the devkit at devkit_path, by default data/VOCdevkit2007.

    pascal_voc('trainval', None, 'data/mine'): any folder with JPEGImages, Annotations and ImageSets/Main.

    config: cleanup (leave no result files), use_salt (a random part in their names), use_diff (train on difficult
    objects), matlab_eval (leave them, and say how to score them with the devkit's own code), and file_imdb's.
    """

    def __init__(self, image_set, year, devkit_path=None):
        self._layout = (folder_layout(image_set, devkit_path) if year is None
                        else devkit_layout(image_set, str(year), devkit_path))
        file_imdb.__init__(self, self._layout.name, self._layout.proposals)
        self._image_set = image_set
        self._classes = ("__background__",) + self._layout.classes
        self._class_to_ind = {name.lower(): ind for ind, name in enumerate(self._classes)}
        self._image_index = read_image_set(self._layout, image_set)
        self._unknown_words = {}            # of the flags, by image
        self._salt = str(uuid.uuid4())
        self.config.update(cleanup=True, use_salt=True, use_diff=False, matlab_eval=False)

    def problems_at(self, i):
        """What is wrong with image i and its annotation, one line for each."""
        problems = file_imdb.problems_at(self, i)
        if not self._layout.annotated:
            return problems
        path = self._annotation_file(self._image_index[i])
        try:
            annotation = read_annotation(path)
        except UserError as e:
            return problems + [str(e)]
        self._unknown_words[i] = annotation.unknown_words
        if problems:                        # no image, no size to hold the boxes against
            return problems + annotation.flag_problems
        placement = placement_of(annotation, image_geometry(self.image_path_at(i)))
        return annotation.flag_problems + object_problems(path, annotation.objects, placement, self._class_to_ind)

    def remarks(self):
        """A line for the flags of the images checked so far that are unknown words."""
        return unknown_words_lines([word for words in self._unknown_words.values() for word in words])

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
        if self._layout.annotated:
            require_checked(self)
        template = self._get_voc_results_file_template(output_dir)
        if not self.config["cleanup"] or self.config["matlab_eval"] or not self._layout.annotated:
            self._write_voc_results_file(all_boxes, template)
        if self.config["matlab_eval"]:
            print("The devkit's VOCevaldet scores these files from its results/%s/Main: %s"
                  % (self._layout.folder, fill(template, "<class>")))
        if not self._layout.annotated:
            pack_submission(output_dir, self.name, [fill(template, name) for name in self._layout.classes])
            return None
        return self._do_python_eval(all_boxes, output_dir)

    def _image_file(self, index):
        stem = os.path.join(self._layout.data_path, "JPEGImages", index)
        return next((stem + e for e in IMAGE_EXTENSIONS if os.path.exists(stem + e)), stem + IMAGE_EXTENSIONS[0])

    def _annotation_file(self, index):
        return os.path.join(self._layout.data_path, "Annotations", index + ".xml")

    def _source_files(self):
        annotations = [self._annotation_file(name) for name in dict.fromkeys(self._image_index)]
        return [image_set_file(self._layout, self._image_set)] + annotations * self._layout.annotated

    def _gt_key(self):
        files = [find(index) for find in (self._annotation_file, self._image_file) for index in self._image_index]
        settings = [self._classes, self._layout.annotated, self.config["use_diff"], placement_settings()]
        return content_key("gt", settings, self._image_index, existing_hashes(files, self.name + " hashes"))

    def _load_pascal_annotation(self, index):
        """The gt roidb entry of the image called `index`; UserError names the first object that is wrong."""
        return self._read_annotation(index)[0]

    def _read_annotation(self, index):
        """(roidb entry, how many boxes were clipped)."""
        geometry = image_geometry(self.image_path_from_index(index))
        path = self._annotation_file(index)
        annotation = read_annotation(path) if self._layout.annotated else NO_ANNOTATION
        placement = placement_of(annotation, geometry)
        for problem in annotation.flag_problems + object_problems(path, annotation.objects, placement,
                                                                  self._class_to_ind):
            raise UserError(problem)
        objects = self._wanted(annotation.objects)
        boxes = np.array([obj["bbox"] for obj in objects], dtype=np.float64).reshape(-1, 4) - 1     # now 0-based
        boxes, clipped = clip_one_pixel(boxes, *placement.drawn_size)
        boxes = placement.place(boxes).astype(np.float32)
        gt_classes = np.array([self._class_to_ind[obj["name"]] for obj in objects], dtype=np.int32)
        return {"boxes": boxes,
                "gt_classes": gt_classes,
                "gt_overlaps": one_a_row(np.ones(len(objects), np.float32), gt_classes, self.num_classes),
                "flipped": False,
                "seg_areas": (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1),
                "width": geometry.width, "height": geometry.height}, clipped

    def _wanted(self, objects):
        return [obj for obj in objects if self.config["use_diff"] or not obj["difficult"]]

    def _get_comp_id(self):
        salted = self.config["use_salt"] and self._layout.annotated       # an archive for the server has official names
        return "comp4-" + self._salt if salted else "comp4"

    def _get_voc_results_file_template(self, output_dir):
        """Path of the result files, {:s} for the class, in a folder that is made where it is missing."""
        file = "%s_det_%s_{:s}.txt" % (self._get_comp_id(), self._image_set)
        folder = os.path.join(output_dir, "results", self._layout.folder, "Main")
        os.makedirs(folder, exist_ok=True)
        return os.path.join(folder, file)

    def _write_voc_results_file(self, all_boxes, template):
        classes = list(zip(self._layout.classes, all_boxes[1:]))
        for name, per_image in progress(classes, "result files", len(classes), "classes"):
            write_results(fill(template, name), self._image_index, per_image)

    def _do_python_eval(self, all_boxes, output_dir):
        """Score the detections; returns the mean AP."""
        annotations = load_annotations(os.path.join(self._layout.data_path, "Annotations", "{:s}.xml"),
                                       self._image_index, self.cache_path,
                                       [self._image_file(index) for index in self._image_index])
        scores = score_boxes(self._layout.classes, all_boxes[1:], annotations, self._layout.use_07_metric)
        return save_scores(scores, output_dir, self.name, self._layout.use_07_metric)
