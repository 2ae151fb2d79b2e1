"""MS COCO, and any data set with a COCO JSON of its own."""
import os

import numpy as np
import scipy.sparse
from utils.errors import UserError

from datasets.box_checks import clip_one_pixel, one_a_row
from datasets.cache import cached_arrays, content_key
from datasets.check import require_checked
from datasets.coco_ids import is_id
from datasets.coco_json import are_usable, boxes_of, image_problems, placed, placement_of, read_sources
from datasets.coco_layout import official_layout, own_layout
from datasets.coco_results import list_detections, save_scores, score_detections, write_detections
from datasets.content_hash import existing_hashes
from datasets.drawn_boxes import placement_settings
from datasets.file_imdb import file_imdb
from datasets.image_files import Geometry, image_geometry
from datasets.proposals import find_proposals
from datasets.proposals_mat import read_mat
from datasets.voc_layout import checked_classes

TOP_K = 2000            # proposals an image, the original's setting
Y_FIRST = ("MCG",)      # methods whose files have [y1 x1 y2 x2]


class coco(file_imdb):
    """coco('minival', '2014'): data/coco.  coco('mine.json', None, 'photos'): one's own JSON and folder of images.

    image_index holds COCO's image ids; classes are the categories by rising id.  Crowds are boxes of the gt roidb whose
    overlaps are -1 (datasets.crowds).  config: file_imdb's; the first 2000 proposals of an image are used.
    """

    IS_STORED = True

    def __init__(self, image_set, year, images=None):
        self._layout = own_layout(image_set, images) if year is None else official_layout(image_set, str(year))
        file_imdb.__init__(self, self._layout.name)
        self._source_hashes = existing_hashes([path for path, _ in self._layout.sources], self.name + " hashes")
        self._dataset, remarks = read_sources(self._layout.sources, self._layout.annotated, self.name)
        for remark in remarks:
            print("%s: %s" % (self.name, remark), flush=True)
        categories = self._dataset["categories"]
        self._categories = {category["id"]: category["name"] for category in categories}
        names = checked_classes(list(self._categories.values()), self._layout.sources[0][0])
        self._classes = ("__background__",) + names
        self._category_to_ind = {id_: ind for ind, id_ in enumerate(self._categories, start=1)}
        self._images = {image["id"]: image for image in self._dataset["images"]}
        self._image_index = list(self._images)
        self._annotations = {id_: [] for id_ in self._images}
        for annotation in self._dataset["annotations"]:
            if self._is_listed(annotation["image_id"]):
                self._annotations[annotation["image_id"]].append(annotation)
        self.config["top_k"] = TOP_K

    @property
    def annotated(self):
        return self._layout.annotated

    @property
    def _proposals(self):
        return self._layout.proposals

    def problems_at(self, i):
        """What is wrong with image i and its annotations, one line for each."""
        problems, id_ = file_imdb.problems_at(self, i), self._image_index[i]
        return problems or self._problems_of(id_, self._placement(id_))

    def general_problems(self):
        """A line for each annotation of an image that is not listed."""
        return ["%s, annotation %s: its image_id %r is not among the images; correct or remove it"
                % (annotation["source"], annotation["given_id"], annotation["image_id"])
                for annotation in self._dataset["annotations"] if not self._is_listed(annotation["image_id"])]

    def selective_search_roidb(self):
        """As file_imdb's; without such a file from data/coco_proposals/selective_search, where that is there."""
        if self._searches_box_folder():
            return self._box_folder_roidb("selective_search")
        return file_imdb.selective_search_roidb(self)

    def missing_proposals(self):
        return [] if self._searches_box_folder() else file_imdb.missing_proposals(self)

    def MCG_roidb(self):
        return self._box_folder_roidb("MCG")

    def edge_boxes_AR_roidb(self):
        return self._box_folder_roidb("edge_boxes_AR")

    def edge_boxes_70_roidb(self):
        return self._box_folder_roidb("edge_boxes_70")

    def evaluate_detections(self, all_boxes, output_dir):
        """Write results/detections_<set>_results.json below output_dir, and score it by COCO's rules.

        all_boxes[class][image]: (N, 5) float [x1 y1 x2 y2 score], 0-based pixels, or [] for none.  Returns the AP, mean
        over IoU 0.50 to 0.95; None where the annotations are not public.
        """
        self._require_own(all_boxes)
        if self._layout.annotated:
            require_checked(self)
        detections = list_detections(all_boxes, self._image_index, list(self._categories))
        path = os.path.join(output_dir, "results", "detections_%s_results.json" % self._layout.result_set)
        write_detections(path, detections)
        if not self._layout.annotated:
            print("%s has no public annotations, so there is no score; submit %s to the COCO evaluation server"
                  % (self.name, path))
            return None
        print("Wrote %d detections to %s" % (len(detections), path))
        scores = score_detections(self._placed_dataset(), detections)
        return save_scores(scores, self._classes[1:], output_dir, self.name)

    def _is_listed(self, image_id):
        return is_id(image_id) and image_id in self._images

    def _image_file(self, index):
        return self._images[index]["path"]

    def proposal_names(self):
        """File names without extension."""
        return [os.path.splitext(self._images[id_]["file_name"])[0] for id_ in self._image_index]

    def _source_files(self):
        return [path for path, _ in self._layout.sources]

    def _gt_key(self):
        files = [image["path"] for image in self._images.values()]
        settings = [self._layout.annotated, self._layout.official, placement_settings()]
        return content_key("coco gt", settings, self._source_hashes, existing_hashes(files, self.name + " hashes"))

    def _placement(self, id_, geometry=None):
        geometry = geometry or image_geometry(self.image_path_from_index(id_))
        return placement_of(self._images[id_], self._annotations[id_], geometry)

    def _placed_dataset(self):
        """The dataset with the boxes of each image as they are in the picture that is read."""
        placements = [self._placement(id_, geometry) for id_, geometry in zip(self._images, self._geometries())]
        if not any(placement.moves for placement in placements):
            return self._dataset
        annotations = [a for id_, placement in zip(self._images, placements)
                       for a in placed(self._annotations[id_], placement)]
        return dict(self._dataset, annotations=annotations)

    def _geometries(self):
        """The Geometry of each image; stored, as a test need not read the images again to be scored."""
        def read():
            return {"geometry": np.array([image_geometry(image["path"]) for image in self._images.values()])}

        path = self._cache_file("geometry", content_key("geometry", self.image_hashes()))
        return [Geometry(*row) for row in cached_arrays(path, read)["geometry"].tolist()]

    def _problems_of(self, id_, placement):
        """Of the official sets, the few empty boxes are no problem: they are left out, as in the original."""
        return image_problems(self._images[id_], self._annotations[id_], placement, self._categories,
                              boxes_too=not self._layout.official)

    def _read_annotation(self, index):
        """(roidb entry, how many boxes were clipped)."""
        placement = self._placement(index)
        for problem in self._problems_of(index, placement):
            raise UserError(problem)
        kept = self._annotations[index]
        if self._layout.official:
            usable = are_usable(boxes_of(kept), np.array([a["area"] for a in kept]), *placement.drawn_size)
            kept = [a for a, fits in zip(kept, usable) if fits]
        boxes, clipped = clip_one_pixel(boxes_of(kept), *placement.drawn_size)
        boxes = placement.place(boxes).astype(np.float32)
        areas = np.array([a["area"] * placement.area_factor for a in kept], dtype=np.float32)
        width, height = placement.size
        gt_classes = np.array([self._category_to_ind[a["category_id"]] for a in kept], dtype=np.int32)
        return {"boxes": boxes, "gt_classes": gt_classes, "gt_overlaps": self._gt_overlaps(kept, gt_classes),
                "flipped": False, "seg_areas": areas, "width": width, "height": height}, clipped

    def _gt_overlaps(self, annotations, gt_classes):
        """(R, num_classes) csr: 1 in the class of an object, -1 everywhere for a crowd."""
        overlaps = one_a_row(np.ones(len(annotations), np.float32), gt_classes, self.num_classes)
        crowd = np.array([a["iscrowd"] for a in annotations], dtype=bool)
        if crowd.any():
            overlaps = overlaps.toarray()
            overlaps[crowd] = -1
        return scipy.sparse.csr_matrix(overlaps)

    def _searches_box_folder(self):
        """Whether the boxes of selective search are those of COCO_proposals."""
        folder = os.path.join(self._layout.box_folder, "selective_search")
        return (bool(self._layout.box_folder) and os.path.isdir(folder)
                and not os.path.exists(find_proposals(self._proposals)))

    def _box_folder_roidb(self, method):
        """Proposals of COCO_proposals: data/coco_proposals/<method>/mat/<14 letters>/<22 letters>/<image>.mat."""
        if not self._layout.box_folder:
            raise UserError("%s: PROPOSAL_METHOD '%s' is for the official COCO sets; put the boxes in %s"
                            % (self.name, method, self.proposals_path))
        folder = os.path.join(self._layout.box_folder, method, "mat")
        files = [os.path.join(folder, name[:14], name[:22], name + ".mat") for name in self.proposal_names()]
        missing = [file for file in files if not os.path.exists(file)]
        if missing:
            raise UserError("%s: %d of %d files of %s proposals do not exist, the first is %s; download them, or make "
                            "%s with tools/propose.py" % (self.name, len(missing), len(files), method, missing[0],
                                                          self.proposals_path))

        def load(gt_roidb):
            box_list = [load_image_mat(file, method in Y_FIRST) for file in files]
            return self._roidb_of_boxes(box_list, gt_roidb, files[0])

        return self._proposals_roidb(method, files, load)


def load_image_mat(path, y_first):
    """(R, 4) float32 0-based [x1 y1 x2 y2] of a .mat of one image: `boxes`, 1-based, x first unless y_first.

    A 0 is taken for a 1, as in the original.
    """
    boxes = read_mat(path).get("boxes", np.zeros(0))
    if boxes.size == 0:
        return np.zeros((0, 4), dtype=np.float32)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise UserError("proposal file %s: expected `boxes` of shape (n, 4), got %s" % (path, boxes.shape))
    boxes = np.maximum(boxes.astype(np.float32) - 1, 0)
    return boxes[:, (1, 0, 3, 2)] if y_first else boxes
