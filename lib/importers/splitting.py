"""Divides images into trainval and test."""
import os

import numpy as np

from importers.labelled import LabelledImage
from importers.near_duplicates import group_near_duplicates
from importers.tree import split_of

TEST_SHARE = 0.2


def split(images: list[LabelledImage], seed: int) -> tuple[list[str], str]:
    """("trainval" or "test" for each image, the rule in words).

    The splits of the export are used: train and val train, test tests; without test, val tests.  Images of no split
    train then.  If no folder or list of the export names a split, but the names of all images do (train_1.jpg,
    test_1.jpg), these are used.  If the export has no split or only one, divide_stratified divides the images.
    """
    given = [image.split for image in images]
    if not any(given):
        named = [split_of(os.path.basename(image.path)) for image in images]
        given = named if all(named) else given
    tested = next((name for name in ("test", "val") if name in given), "")
    if tested and len(set(given)) > 1:
        train = [name or "images of no split" for name in sorted(set(given) - {tested}, key=lambda name: name or "~")]
        rule = f"the export's {' and '.join(train)} train, its {tested} tests"
        return ["test" if name == tested else "trainval" for name in given], rule
    sets = divide_stratified([[obj.label for obj in image.objects] for image in images],
                             group_near_duplicates([image.path for image in images]), seed)
    return sets, f"drawn with seed {seed}: {TEST_SHARE:.0%} of each class test, near-duplicates stay together"


def divide_stratified(labels: list[list[str]], groups: np.ndarray, seed: int) -> list[str]:
    """"trainval" or "test" for each image, TEST_SHARE of them test.

    Iterative stratification (Sechidis et al., ECML 2011): the class with the fewest images left is divided first, and
    each of its groups goes where most images of the class are still missing.  Groups of images are never divided.

    labels: the labels of each image's objects; groups: (N,) the group of each image.
    """
    rng = np.random.default_rng(seed)
    order = [int(group) for group in rng.permutation(np.unique(groups))]
    counts = {group: _label_counts([labels[i] for i in np.nonzero(groups == group)[0]]) for group in order}
    missing = _shares(counts)
    set_of: dict[int, str] = {}
    left = order
    while left:
        rarest = _rarest([counts[group] for group in left])
        for group in left:
            if rarest in counts[group]:
                name = max(missing, key=lambda name: missing[name][rarest])      # test, the first, where they are equal
                set_of[group] = name
                for label, count in counts[group].items():
                    missing[name][label] -= count
        left = [group for group in left if group not in set_of]
    return [set_of[int(group)] for group in groups]


def _label_counts(labels_of_images):
    """{label: number of images with it}; images without objects count as the label ""."""
    counts: dict[str, int] = {}
    for labels in labels_of_images:
        for label in set(labels) or {""}:
            counts[label] = counts.get(label, 0) + 1
    return counts


def _shares(counts):
    """{set: {label: how many images of the label it is to get}}."""
    totals: dict[str, int] = {}
    for of_group in counts.values():
        for label, count in of_group.items():
            totals[label] = totals.get(label, 0) + count
    return {"test": {label: TEST_SHARE * total for label, total in totals.items()},
            "trainval": {label: (1 - TEST_SHARE) * total for label, total in totals.items()}}


def _rarest(counts):
    """The label in the fewest groups; of several, the first by name."""
    groups: dict[str, int] = {}
    for of_group in counts:
        for label in of_group:
            groups[label] = groups.get(label, 0) + 1
    return min(sorted(groups), key=groups.__getitem__)
