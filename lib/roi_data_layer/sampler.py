"""Which images make the next minibatch."""
import numpy as np
from utils.errors import UserError


class ImageSampler:
    """Draws the order of the images anew for each epoch and cuts it into minibatches; every image once an epoch.

    The last minibatch of an epoch has the images that are left, perhaps fewer (the original leaves them out).
    `rng` is a generator of its own that goes on from where numpy's global one stands: what else draws numbers, and how
    far ahead minibatches are made, changes nothing.  RoIs and scales are drawn from it too.
    """

    def __init__(self, roidb, ims_per_batch, aspect_grouping):
        """roidb: entries with width and height; aspect_grouping: minibatches all wide or all tall, where it goes."""
        self.rng = np.random.RandomState()
        self.rng.set_state(np.random.get_state())
        self._count, self._ims_per_batch = len(roidb), ims_per_batch
        self._wide = np.array([entry["width"] >= entry["height"] for entry in roidb]) if aspect_grouping else None
        self._shuffle()

    def next_inds(self):
        """Indices of the images of the next minibatch."""
        if self._cur >= self._count:
            self._shuffle()
        inds = self._perm[self._cur:self._cur + self._ims_per_batch]
        self._cur += self._ims_per_batch
        return inds

    def state(self):
        """Where it stands, as arrays, for exact resume."""
        _, keys, *rest = self.rng.get_state()
        return {"perm": self._perm, "cur": np.array(self._cur), "rng_keys": keys, "rng_rest": np.array(rest)}

    def set_state(self, state):
        """Continue from a state() of the same images."""
        try:
            self._take(state)
        except (KeyError, IndexError, TypeError, ValueError, OverflowError) as e:
            raise UserError("the resume state of a data layer is damaged (%s: %s); train again from the weights"
                            % (type(e).__name__, e)) from None

    def _take(self, state):
        if len(state["perm"]) != self._count:
            raise UserError("the resume state is of a training set of %d images, this one has %d; resume with the same "
                            "--imdb and settings" % (len(state["perm"]), self._count))
        known = np.isin(state["perm"], np.arange(self._count))      # a sampler of the user's may repeat images
        if np.ndim(state["perm"]) != 1 or not known.all() or int(state["cur"]) < 0:
            raise ValueError("perm has others than images 0 to %d, or cur %s is below 0"
                             % (self._count - 1, state["cur"]))
        self._perm, self._cur = np.array(state["perm"]), int(state["cur"])
        position, has_gauss, gauss = state["rng_rest"]
        self.rng.set_state(("MT19937", state["rng_keys"], int(position), int(has_gauss), gauss))

    def _shuffle(self):
        """Draw the order of a new epoch."""
        self._cur = 0
        if self._wide is None:
            self._perm = self.rng.permutation(np.arange(self._count))
        else:
            self._perm = _grouped_permutation(self._wide, max(2, self._ims_per_batch), self.rng)


def _grouped_permutation(wide, group, rng):
    """A permutation whose successive groups are all wide (or square) or all tall, where the counts allow it.

    wide (n,) bool.  Drawn as in the original: wide, tall, then the order of the groups.  Images that fill no group
    come last (the original fails on an odd count).
    """
    inds = np.hstack([rng.permutation(np.flatnonzero(wide)), rng.permutation(np.flatnonzero(~wide))])
    whole = len(inds) - len(inds) % group
    rows = inds[:whole].reshape(-1, group)
    return np.append(rows[rng.permutation(len(rows))].ravel(), inds[whole:])
