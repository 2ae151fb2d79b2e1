"""Linear SVMs on a net's features in place of its softmax scores, one for each class, with hard negative mining.

The post-hoc SVMs of R-CNN that Fast R-CNN compares softmax with (section 5.4); constants are the original's.

1. Positives of a class: the features of its ground-truth boxes.
2. Image by image, a RoI that its SVM scores above HARD_THRESH though it overlaps no object of the class by NEG_IOU is a
   hard negative.  When RETRAIN_AFTER have come the SVM is trained again, and negatives that it now scores below
   EVICT_THRESH are forgotten.
3. After the last image every SVM is trained once more.
"""
import numpy as np
from datasets.ground_truth import object_rows
from fast_rcnn.config import cfg
from fast_rcnn.finite import FiniteCheck
from fast_rcnn.test import im_detect
from sklearn.svm import LinearSVC
from utils.errors import UserError
from utils.images import read_image
from utils.progress import progress

FEATURES, SCORES = "fc7", "cls_score"   # blob and layer
HARD_THRESH, EVICT_THRESH = -1.0001, -1.1
NEG_IOU = 0.3
RETRAIN_AFTER = 2000                    # hard negatives of a class
COST, POS_WEIGHT, BIAS_SCALE = 0.001, 2.0, 10.0
TARGET_NORM = 20.0                      # features are scaled to this mean norm while an SVM is trained
SCALE_IMAGES = 100                      # of which that mean is taken


class SVMClassTrainer:
    """The SVM of one class: its positives, the negatives at hand, its weights."""

    def __init__(self, name, feature_scale):
        self.name, self.scale = name, feature_scale
        self.pos, self.neg = [], []     # lists of (N, dim)
        self.num_new = 0
        self.solver = LinearSVC(C=COST, class_weight={1: POS_WEIGHT, -1: 1}, intercept_scaling=BIAS_SCALE, loss="hinge",
                                dual=True, max_iter=10000, random_state=cfg.RNG_SEED)

    def append_neg(self, features):
        """Take hard negatives (N, dim); returns whether it is time to train again."""
        self.neg.append(features)
        self.num_new += len(features)
        return self.num_new > RETRAIN_AFTER

    def train(self):
        """(weights (dim,), bias) for features as they are; forgets negatives that have become easy."""
        pos, neg = np.vstack(self.pos), np.vstack(self.neg)
        features = np.vstack((pos, neg)) * self.scale
        self.solver.fit(features, np.repeat([1, -1], [len(pos), len(neg)]))
        scores = self.solver.decision_function(features)
        pos_scores, neg_scores = scores[:len(pos)], scores[len(pos):]
        print("%s: %d positives, %d of them above 0; %d hard negatives, %d of them below 0"
              % (self.name, len(pos_scores), (pos_scores > 0).sum(), len(neg_scores), (neg_scores < 0).sum()))
        self.neg, self.num_new = [neg[neg_scores >= EVICT_THRESH]], 0
        return self.solver.coef_[0] * self.scale, self.solver.intercept_[0]


class SVMTrainer:
    """Trains the SVMs of all classes into the net's cls_score.

    net: a test net with a blob fc7 that the layer cls_score reads.  roidb: ground truth and proposals, of imdb.
    columns: the net's class for each class of imdb, as for im_detect.
    Wants TEST.SVM True and DEDUP_BOXES 0: scores are the SVMs', and row r of fc7 belongs to box r.
    """

    def __init__(self, net, imdb, columns=None):
        if FEATURES not in net.blobs or SCORES not in net.params:
            raise UserError("net %s: SVMs need a blob %s and a layer %s" % (getattr(net, "name", ""), FEATURES, SCORES))
        self.net, self.imdb, self.columns = net, imdb, columns
        self._finite = FiniteCheck(net)
        self.rows = np.arange(imdb.num_classes) if columns is None else columns
        self.weights, self.bias = net.params[SCORES]        # blobs (K, dim) and (K,)
        scale = TARGET_NORM / self._mean_norm()
        print("Features are scaled by %.4g to a mean norm of %g" % (scale, TARGET_NORM))
        self.trainers = [SVMClassTrainer(name, scale) for name in imdb.classes]

    def train(self):
        """The whole schedule; afterwards the net's cls_score gives SVM scores, 0 for the background."""
        self.weights.data[...], self.bias.data[...] = 0, 0
        self._collect_positives()
        for i in progress(range(self.imdb.num_images), "hard negatives", unit="im"):
            self._mine(i)
        for cls in range(1, self.imdb.num_classes):
            self._retrain(cls)

    def _features(self, i, boxes):
        """(scores (R, K), features (R, dim)) of boxes (R, 4) in image i of the roidb."""
        path = self.imdb.image_path_at(i)
        im = read_image(path)
        im = im[:, ::-1] if self.imdb.roidb[i]["flipped"] else im
        if not len(boxes):
            return tuple(np.zeros((0, width), np.float32) for width in self.weights.shape)
        with self._finite.image(path):
            scores, _ = im_detect(self.net, im, boxes, self.columns)
        return scores, np.array(self.net.blobs[FEATURES].data)

    def _mean_norm(self):
        """Mean norm of the features of proposals in SCALE_IMAGES images, drawn by numpy's generator."""
        count = min(SCALE_IMAGES, self.imdb.num_images)
        norms = [np.zeros(0)]
        for i in progress(np.random.permutation(self.imdb.num_images)[:count], "feature scale", unit="im"):
            norms.append(np.linalg.norm(self._features(i, self.imdb.roidb[i]["boxes"])[1], axis=1))
        norms = np.concatenate(norms)
        if not norms.size or not norms.mean() > 0:
            raise UserError("%s: all features of %s are 0; is the net trained?" % (self.imdb.name, FEATURES))
        return norms.mean()

    def _collect_positives(self):
        for i in progress(range(self.imdb.num_images), "positives", unit="im"):
            entry = self.imdb.roidb[i]
            gt = object_rows(entry)
            _, features = self._features(i, entry["boxes"][gt])
            for cls, feature in zip(entry["gt_classes"][gt], features):
                self.trainers[cls].pos.append(feature[np.newaxis])
        missing = [trainer.name for trainer in self.trainers[1:] if not trainer.pos]
        if missing:
            raise UserError("%s has no object of class %s; an SVM needs some" % (self.imdb.name, ", ".join(missing)))

    def _mine(self, i):
        """Give every class the hard negatives of image i; train those that have enough."""
        entry = self.imdb.roidb[i]
        scores, features = self._features(i, entry["boxes"])
        overlaps = entry["gt_overlaps"].toarray()
        for cls in range(1, self.imdb.num_classes):
            far = (overlaps[:, cls] >= 0) & (overlaps[:, cls] < NEG_IOU)      # -1: within a crowd
            hard = far & (scores[:, cls] > HARD_THRESH)
            if hard.any() and self.trainers[cls].append_neg(features[hard]):
                self._retrain(cls)

    def _retrain(self, cls):
        trainer = self.trainers[cls]
        if not trainer.neg:
            raise UserError("%s: no proposal overlaps class %s by less than %g; an SVM needs negatives"
                            % (self.imdb.name, trainer.name, NEG_IOU))
        # `data` anew each time: on a GPU what is written to it counts once, in the next pass
        row = self.rows[cls]
        self.weights.data[row], self.bias.data[row] = trainer.train()
