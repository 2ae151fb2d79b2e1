"""A data set as forks of py-faster-rcnn write them: digits below and from five on, in a devkit of their own."""
import os
import pickle
import xml.etree.ElementTree as ET

import numpy as np
import scipy.io as sio
import scipy.sparse
from datasets.imdb import imdb
from datasets.pascal_voc import pascal_voc
from fast_rcnn.config import cfg
from utils.cython_bbox import bbox_overlaps

DIGITS = ('zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine')


class digit_halves(pascal_voc):
    def __init__(self, image_set, year):
        imdb.__init__(self, 'digit_halves_' + year + '_' + image_set)
        self._year = year
        self._image_set = image_set
        self._devkit_path = self._get_default_path()
        self._data_path = os.path.join(self._devkit_path, 'digits')
        self._classes = ('__background__', 'low', 'high')
        self._class_to_ind = {digit: 1 + (i >= 5) for i, digit in enumerate(DIGITS)}
        self._image_ext = '.jpg'
        self._image_index = self._load_image_set_index()
        self._roidb_handler = self.selective_search_roidb
        self._salt = 'fork'
        self.config = {'cleanup': True, 'use_salt': True, 'matlab_eval': False}

    def _get_default_path(self):
        return os.path.join(cfg.DATA_DIR, 'digit_devkit' + self._year)

    def _load_pascal_annotation(self, index):
        tree = ET.parse(os.path.join(self._data_path, 'Annotations', index + '.xml'))
        objs = [obj for obj in tree.findall('object') if int(obj.find('difficult').text) == 0]
        boxes = np.zeros((len(objs), 4), dtype=np.uint16)
        gt_classes = np.zeros((len(objs)), dtype=np.int32)
        overlaps = np.zeros((len(objs), self.num_classes), dtype=np.float32)
        for ix, obj in enumerate(objs):
            bbox = obj.find('bndbox')
            boxes[ix, :] = [float(bbox.find(tag).text) - 1 for tag in ('xmin', 'ymin', 'xmax', 'ymax')]
            gt_classes[ix] = self._class_to_ind[obj.find('name').text.lower().strip()]
            overlaps[ix, gt_classes[ix]] = 1.0
        return {'boxes': boxes, 'gt_classes': gt_classes, 'gt_overlaps': scipy.sparse.csr_matrix(overlaps),
                'flipped': False}

    def _load_selective_search_roidb(self, gt_roidb):
        filename = os.path.join(self._data_path, 'selective_search_data', 'digits_' + self._image_set + '.mat')
        raw_data = sio.loadmat(filename)['boxes'].ravel()
        return self.create_roidb_from_box_list([boxes[:, (1, 0, 3, 2)] - 1 for boxes in raw_data], gt_roidb)

    def _write_voc_results_file(self, all_boxes):
        for cls_ind, cls in enumerate(self.classes):
            if cls == '__background__':
                continue
            with open(self._get_voc_results_file_template().format(cls), 'w') as f:
                for index, dets in zip(self.image_index, all_boxes[cls_ind]):
                    for k in range(len(dets)):
                        f.write('{:s} {:.3f} {:.1f} {:.1f} {:.1f} {:.1f}\n'.format(index, dets[k, -1], *(dets[k, :4] + 1)))

    def _do_python_eval(self, output_dir='output'):
        """Recall of each class at IoU 0.5, from the result files."""
        recalls = {}
        for cls_ind, cls in enumerate(self.classes[1:], start=1):
            found = {}
            with open(self._get_voc_results_file_template().format(cls)) as f:
                for line in f:
                    words = line.split()
                    found.setdefault(words[0], []).append([float(x) - 1 for x in words[2:]])
            hit = count = 0
            for index, entry in zip(self.image_index, self.gt_roidb()):
                gt_boxes = entry['boxes'][entry['gt_classes'] == cls_ind]
                count += len(gt_boxes)
                if index in found and len(gt_boxes):
                    overlaps = bbox_overlaps(np.array(found[index], dtype=float), gt_boxes.astype(float))
                    hit += (overlaps.max(axis=0) >= 0.5).sum()
            recalls[cls] = hit / max(count, 1)
            print('Recall for {} = {:.4f} of {}'.format(cls, recalls[cls], count))
        with open(os.path.join(output_dir, 'recalls.pkl'), 'wb') as f:
            pickle.dump(recalls, f)
