#!/usr/bin/env python
"""Make the embedded demo data set: handwritten digits on photographs, in the VOC layout, with proposals."""
import argparse
import time

import _cli
import numpy as np
from digits import dataset
from digits.sources import SPLITS
from digits.statistics import proposal_recall, summary


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="data/digits", help="folder to write, default %(default)s")
    parser.add_argument("--seed", type=int, default=3, help="another seed, another data set; default %(default)s")
    parser.add_argument("--train", type=int, default=600, help="images in trainval, default %(default)s")
    parser.add_argument("--test", type=int, default=300, help="images in test, default %(default)s")
    parser.add_argument("--workers", type=int, default=2, help="processes; the result does not depend on it")
    return parser.parse_args()


def main():
    args = parse_args()
    print("make_digits: %s" % " ".join("%s=%s" % item for item in sorted(vars(args).items())))
    start = time.monotonic()
    settings, made = dataset.make(args.out, args.seed, {"trainval": args.train, "test": args.test}, args.workers)
    print("%s %s in %.1f s, content %s" % (args.out, "made" if made else "is there already: reused",
                                           time.monotonic() - start, settings["content"][:16]))
    for split in SPLITS:
        counts, recalls = summary(args.out, split), proposal_recall(args.out, split)
        print("%-8s %d images, %d objects (%d difficult, %d truncated), %d look-alikes, %.0f proposals an image, "
              "their recall %.3f at IoU 0.5, %.3f at 0.7"
              % (split, counts["images"], counts["objects"], counts["difficult"], counts["truncated"],
                 counts["lookalikes"], counts["proposals"], np.mean(recalls >= 0.5), np.mean(recalls >= 0.7)))


if __name__ == "__main__":
    _cli.run(main)
