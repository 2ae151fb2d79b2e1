"""A data layer and a mining layer as forks of the OHEM code write them: copied and changed, not subclasses of ours."""
import atexit
from multiprocessing import Process, Queue

import caffe
import numpy as np
import yaml
from fast_rcnn.config import cfg
from roi_data_layer.minibatch import get_allrois_minibatch, get_ohem_minibatch


class FocalData(caffe.Layer):
    """All RoIs of the images of a minibatch."""

    def setup(self, bottom, top):
        self._num_classes = yaml.safe_load(self.param_str_)['num_classes']
        self._name_to_top_map = {name: i for i, name in enumerate(
            ('data', 'rois', 'labels', 'bbox_targets', 'bbox_inside_weights', 'bbox_outside_weights'))}
        shapes = [(1, 3, max(cfg.TRAIN.SCALES), cfg.TRAIN.MAX_SIZE), (1, 5), (1,)] + [(1, 4 * self._num_classes)] * 3
        assert len(top) == len(shapes)
        for i, shape in enumerate(shapes):
            top[i].reshape(*shape)

    def set_roidb(self, roidb):
        self._fetcher = BlobFetcher(Queue(4), roidb, self._num_classes)
        if cfg.TRAIN.USE_PREFETCH:
            self._fetcher.start()

            def cleanup():
                print('Terminating BlobFetcher')
                self._fetcher.terminate()
                self._fetcher.join()
            atexit.register(cleanup)

    def forward(self, bottom, top):
        blobs = self._fetcher.queue.get() if cfg.TRAIN.USE_PREFETCH else self._fetcher.make()
        for name, blob in blobs.items():
            top_ind = self._name_to_top_map[name]
            top[top_ind].reshape(*(blob.shape))
            top[top_ind].data[...] = blob.astype(np.float32, copy=False)

    def backward(self, top, propagate_down, bottom):
        pass

    def reshape(self, bottom, top):
        pass


class BlobFetcher(Process):
    """Makes minibatches, in a process of its own where it is started."""

    def __init__(self, queue, roidb, num_classes):
        super(BlobFetcher, self).__init__()
        self.queue = queue
        self._roidb = roidb
        self._num_classes = num_classes
        self._perm = np.random.permutation(np.arange(len(roidb)))
        self._cur = 0

    def make(self):
        if self._cur + cfg.TRAIN.IMS_PER_BATCH >= len(self._roidb):
            self._perm = np.random.permutation(np.arange(len(self._roidb)))
            self._cur = 0
        inds = self._perm[self._cur:self._cur + cfg.TRAIN.IMS_PER_BATCH]
        self._cur += cfg.TRAIN.IMS_PER_BATCH
        return get_allrois_minibatch([self._roidb[i] for i in inds], self._num_classes)

    def run(self):
        print('BlobFetcher started', flush=True)
        while True:
            self.queue.put(self.make())


class FocalMining(caffe.Layer):
    """The hard RoIs by the focal loss of their class, and of their box."""

    NAMES = ('rois_hard', 'labels_hard', 'bbox_targets_hard', 'bbox_inside_weights_hard', 'bbox_outside_weights_hard')

    def setup(self, bottom, top):
        self._num_classes = yaml.safe_load(self.param_str_)['num_classes']
        for i, shape in enumerate([(1, 5), (1,)] + [(1, 4 * self._num_classes)] * 3):
            top[i].reshape(*shape)

    def forward(self, bottom, top):
        cls_prob, bbox_pred, rois, labels, targets, inside, outside = (bottom[i].data for i in range(7))
        prob = np.maximum(cls_prob[np.arange(len(labels)), labels.astype(int)], np.finfo(float).eps)
        diff = np.abs(inside * (bbox_pred - targets))
        loss = -(1 - prob) ** cfg.TRAIN.FOCAL_GAMMA * np.log(prob)
        loss = loss + (outside * np.where(diff < 1, 0.5 * diff ** 2, diff - 0.5)).sum(axis=1)
        blobs = get_ohem_minibatch(loss, rois, labels, targets, inside, outside)
        for i, name in enumerate(self.NAMES):
            top[i].reshape(*(blobs[name].shape))
            top[i].data[...] = blobs[name].astype(np.float32, copy=False)
        print('FocalMining: gamma {} keeps {} of {} RoIs'.format(cfg.TRAIN.FOCAL_GAMMA, len(blobs['rois_hard']), len(rois)))

    def backward(self, top, propagate_down, bottom):
        pass

    def reshape(self, bottom, top):
        pass
