#!/bin/bash
# Trains and tests Fast R-CNN.
# Usage: ./experiments/scripts/fast_rcnn.sh GPU_ID NET [DATASET] [--set KEY VALUE ...]; run it alone for help.
METHOD=fast_rcnn
source "$(dirname "$0")/_run.sh"
