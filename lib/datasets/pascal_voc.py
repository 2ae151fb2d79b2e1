"""PASCAL VOC, and any folder in its layout."""
import os
import uuid

import numpy as np
import scipy.sparse
from utils.errors import UserError
from utils.progress import progress

from datasets.cache import cached_roidb, content_key, file_stamp
from datasets.check import require_sound
from datasets.ds_utils import bad_boxes, clip_one_pixel, filter_small_boxes, image_size, unique_boxes
from datasets.imdb import imdb
from datasets.proposals import load_proposals
from datasets.voc_layout import devkit_layout, folder_layout, read_image_set
from datasets.voc_results import pack_submission, save_scores, score_results, write_results
from datasets.voc_xml import object_problems, parse_rec

IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".JPG", ".JPEG", ".PNG")


class pascal_voc(imdb):
    """pascal_voc('trainval', '2007'): the devkit at devkit_path, by default data/VOCdevkit2007.

    pascal_voc('trainval', None, 'data/mine'): any folder with JPEGImages, Annotations and ImageSets/Main.

    config: cleanup (remove result files once scored), use_salt (a random part in their names), use_diff (train on
    difficult objects), matlab_eval (say how to score the result files with the devkit's own code), rpn_file (proposals
    for rpn_roidb, .npz or .mat), min_size (of a selective-search box, pixels).
    """

    def __init__(self, image_set, year, devkit_path=None):
        self._layout = (folder_layout(image_set, devkit_path) if year is None
                        else devkit_layout(image_set, str(year), devkit_path))
        imdb.__init__(self, self._layout.name)
        self._image_set = image_set
        self._classes = ("__background__",) + self._layout.classes
        self._class_to_ind = {name.lower(): ind for ind, name in enumerate(self._classes)}
        self._image_index = read_image_set(self._layout, image_set)
        self._roidb_handler = self.selective_search_roidb
        self._salt = str(uuid.uuid4())
        self.config = {"cleanup": True, "use_salt": True, "use_diff": False, "matlab_eval": False, "rpn_file": None,
                       "min_size": 2}

    def image_path_at(self, i):
        """Path of image i; UserError where there is none."""
        return self.image_path_from_index(self._image_index[i])

    def image_path_from_index(self, index):
        """Path of the image called `index` in the image set; UserError where there is none."""
        path = self._image_file(index)
        if not os.path.exists(path):
            raise UserError("image %s does not exist; add it or take '%s' out of the image set" % (path, index))
        return path

    def problems_at(self, i):
        """What is wrong with image i and its annotation, one line for each."""
        problems = imdb.problems_at(self, i)
        if not self._layout.annotated:
            return problems
        path = self._annotation_file(self._image_index[i])
        try:
            objects = self._wanted(parse_rec(path))
        except UserError as e:
            return problems + [str(e)]
        if problems:
            return problems                 # no image, no size to hold the boxes against
        return object_problems(path, objects, *image_size(self.image_path_at(i)), self._class_to_ind)

    def gt_roidb(self):
        """Ground truth of every image; without boxes where the annotations are not public."""
        path = os.path.join(self.cache_path, "%s_gt_%s.npz" % (self.name, self._gt_key()))
        return cached_roidb(path, self.num_classes, self._build_gt_roidb)

    def selective_search_roidb(self):
        """Ground truth, then the boxes of selective search without duplicates and without the very small."""
        file, settings = self._layout.proposals, [self._gt_key(), self.config["min_size"]]
        key = content_key("selective_search", file_stamp(file), settings)
        path = os.path.join(self.cache_path, "%s_selective_search_%s.npz" % (self.name, key))
        return cached_roidb(path, self.num_classes, self._build_selective_search_roidb)

    def rpn_roidb(self):
        """Ground truth, then the boxes in config['rpn_file']."""
        if self.config["rpn_file"] is None:
            raise UserError("%s: config['rpn_file'] is not set; name the .npz file of RPN proposals" % self.name)
        gt_roidb = self.gt_roidb()
        box_list = self._boxes_inside(self.config["rpn_file"], gt_roidb)
        return self.merge_roidbs(gt_roidb, self.create_roidb_from_box_list(box_list, gt_roidb))

    def competition_mode(self, on):
        """On: result files keep their official names and stay."""
        self.config["use_salt"] = self.config["cleanup"] = not on

    def evaluate_detections(self, all_boxes, output_dir):
        """Score detections; all_boxes[class][image]: (N, 5) float [x1 y1 x2 y2 score], 0-based pixels, or [] for none.

        Prints the AP of each class and their mean; writes ap.json and <class>_pr.npz (rec, prec, ap) in output_dir,
        result files below output_dir/results.  Returns the mean AP over classes with ground truth.  Where the
        annotations are not public: writes the archive for the evaluation server, and returns None.
        """
        self._write_voc_results_file(all_boxes, output_dir)
        template = self._get_voc_results_file_template(output_dir)
        if self.config["matlab_eval"]:
            print("The devkit's VOCevaldet scores these files from its results/%s/Main: %s"
                  % (self._layout.folder, template.format("<class>")))
        if not self._layout.annotated:
            pack_submission(output_dir, self.name, [template.format(name) for name in self._layout.classes])
            return None
        mean_ap = self._do_python_eval(output_dir)
        if self.config["cleanup"]:
            for name in self._layout.classes:
                os.remove(template.format(name))
        return mean_ap

    def _image_file(self, index):
        stem = os.path.join(self._layout.data_path, "JPEGImages", index)
        return next((stem + e for e in IMAGE_EXTENSIONS if os.path.exists(stem + e)), stem + IMAGE_EXTENSIONS[0])

    def _annotation_file(self, index):
        return os.path.join(self._layout.data_path, "Annotations", index + ".xml")

    def _gt_key(self):
        stamps = [(file_stamp(self._annotation_file(index)), file_stamp(self._image_file(index)))
                  for index in self._image_index]
        return content_key("gt", self.name, self._classes, self._layout.annotated, self.config["use_diff"], stamps)

    def _build_gt_roidb(self):
        require_sound(self)
        entries = [self._read_annotation(index)
                   for index in progress(self._image_index, self.name + " annotations", self.num_images, "images")]
        self._tell_clipped("ground-truth boxes", sum(clipped for _, clipped in entries))
        return [entry for entry, _ in entries]

    def _load_pascal_annotation(self, index):
        """The gt roidb entry of the image called `index`; UserError names the first object that is wrong."""
        return self._read_annotation(index)[0]

    def _read_annotation(self, index):
        """(roidb entry, how many boxes were clipped)."""
        width, height = image_size(self.image_path_from_index(index))
        path = self._annotation_file(index)
        objects = self._wanted(parse_rec(path)) if self._layout.annotated else []
        for problem in object_problems(path, objects, width, height, self._class_to_ind):
            raise UserError(problem)
        boxes = np.array([obj["bbox"] for obj in objects], dtype=np.float64).reshape(-1, 4) - 1     # now 0-based
        boxes, clipped = clip_one_pixel(boxes, width, height)
        gt_classes = np.array([self._class_to_ind[obj["name"]] for obj in objects], dtype=np.int32)
        one_hot = (np.ones(len(objects), np.float32), (np.arange(len(objects)), gt_classes))
        return {"boxes": boxes,
                "gt_classes": gt_classes,
                "gt_overlaps": scipy.sparse.csr_matrix(one_hot, shape=(len(objects), self.num_classes)),
                "flipped": False,
                "seg_areas": (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1),
                "width": width, "height": height}, clipped

    def _wanted(self, objects):
        return [obj for obj in objects if self.config["use_diff"] or not obj["difficult"]]

    def _build_selective_search_roidb(self):
        gt_roidb = self.gt_roidb()
        box_list = []
        for boxes in progress(self._boxes_inside(self._layout.proposals, gt_roidb), self.name + " proposals",
                              self.num_images, "images"):
            boxes = boxes[unique_boxes(boxes)]
            box_list.append(boxes[filter_small_boxes(boxes, self.config["min_size"])])
        return self.merge_roidbs(gt_roidb, self.create_roidb_from_box_list(box_list, gt_roidb))

    def _boxes_inside(self, path, gt_roidb):
        """Proposals of a file, clipped by a pixel where needed; UserError for an image with boxes further out."""
        box_list, clipped = load_proposals(path, self._image_index), 0
        for i, entry in enumerate(gt_roidb):
            size = entry["width"], entry["height"]
            bad = np.where(bad_boxes(box_list[i], *size))[0]
            if len(bad):
                first = " ".join("%g" % x for x in box_list[i][bad[0]])
                raise UserError("proposal file %s, image %s: %d of %d boxes are inverted, not numbers or outside the "
                                "image of %d x %d pixels, the first is x1 y1 x2 y2 = %s (0-based); expected in a .mat: "
                                "1-based [ymin xmin ymax xmax]"
                                % (path, self._image_index[i], len(bad), len(box_list[i]), *size, first))
            box_list[i], n = clip_one_pixel(box_list[i], *size)
            clipped += n
        self._tell_clipped("proposals", clipped)
        return box_list

    def _tell_clipped(self, what, count):
        if count:
            print("%s: %d %s reached one pixel beyond their image and were clipped" % (self.name, count, what))

    def _get_comp_id(self):
        salted = self.config["use_salt"] and self._layout.annotated       # an archive for the server has official names
        return "comp4-" + self._salt if salted else "comp4"

    def _get_voc_results_file_template(self, output_dir):
        """Path of the result files, {:s} for the class."""
        file = "%s_det_%s_{:s}.txt" % (self._get_comp_id(), self._image_set)
        return os.path.join(output_dir, "results", self._layout.folder, "Main", file)

    def _write_voc_results_file(self, all_boxes, output_dir):
        counts = [len(per_image) for per_image in all_boxes[1:]]
        if counts != [self.num_images] * (self.num_classes - 1):
            raise UserError("detections are of %d classes and %s images, %s has %d classes and %d images; test on this "
                            "data set again" % (len(all_boxes), sorted(set(counts)), self.name, self.num_classes,
                                                self.num_images))
        template = self._get_voc_results_file_template(output_dir)
        for name, per_image in zip(self._layout.classes, all_boxes[1:]):
            write_results(template.format(name), self._image_index, per_image)

    def _do_python_eval(self, output_dir):
        """Score the result files; returns the mean AP."""
        scores = score_results(self._layout.classes, self._get_voc_results_file_template(output_dir),
                               os.path.join(self._layout.data_path, "Annotations", "{:s}.xml"),
                               os.path.join(self._layout.data_path, "ImageSets", "Main", self._image_set + ".txt"),
                               self.cache_path, self._layout.use_07_metric)
        return save_scores(scores, output_dir, self.name, self._layout.use_07_metric)
