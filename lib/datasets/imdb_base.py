"""What lib asks of a data set beyond the original's imdb, with the answers of one that does not know."""
import os

from fast_rcnn.config import cfg
from utils.errors import UserError

from datasets.content_hash import existing_hashes
from datasets.image_files import require_whole


class ImdbBase:
    """A mix-in for a class with the original's name, image_index, num_images and image_path_at(i)."""

    is_known_sound = False      # set by datasets.check
    is_partial = False          # set by keep_images: what is made of it is not stored

    @property
    def annotated(self):
        """Whether its annotations are public."""
        return True

    def problems_at(self, i):
        """What is wrong with the files of image i, one line each; see datasets.check."""
        try:
            require_whole(self.image_path_at(i))
        except UserError as e:
            return [str(e)]
        return []

    def general_problems(self):
        """What is wrong with files that belong to no single image, one line each."""
        return []

    def keep_images(self, inds):
        """Leave out all images but these, which were checked, before the roidb is made."""
        self.is_partial = self.is_partial or len(inds) < len(self._image_index)
        self._image_index = [self._image_index[i] for i in inds]
        self.is_known_sound = True

    def remarks(self):
        """What the check noticed and read all the same, one line each."""
        return []

    def source_key(self):
        """Digest of all that the roidb was made from, by content; None where a data set does not know."""
        return None

    def proposal_names(self):
        """The names of the images in a file of proposals."""
        return [str(index) for index in self.image_index]

    def image_hashes(self):
        """datasets.content_hash of each image file; None where there is none."""
        return existing_hashes([self.image_path_at(i) for i in range(self.num_images)], self.name + " hashes")

    def has_stored_gt(self):
        """Whether the ground truth of these very files is stored, which it is only after a check."""
        return False

    def missing_proposals(self):
        """A line for the file of proposals that the roidb would be made from and that is not there; otherwise []."""
        return []

    @property
    def proposals_path(self):
        """Where tools/propose.py puts this data set's boxes, and selective_search_roidb looks for them."""
        return os.path.join(cfg.DATA_DIR, "selective_search_data", self.name + ".mat")


def completed(imdb):
    """An imdb whose class may be a fork's own: with the methods of ImdbBase that it lacks.  It is changed in place."""
    if not isinstance(imdb, ImdbBase):
        own = type(imdb)
        imdb.__class__ = type(own.__name__, (own, ImdbBase), {"__module__": own.__module__})
    return imdb


def overrides(imdb, base, *names):
    """Whether an imdb has a method of its own in place of one of those of the class `base`."""
    return any(name in vars(imdb) or getattr(type(imdb), name) is not getattr(base, name) for name in names)
