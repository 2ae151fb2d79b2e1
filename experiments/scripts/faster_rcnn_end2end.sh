#!/bin/bash
# Trains Faster R-CNN end to end, and tests it.
# Usage: ./experiments/scripts/faster_rcnn_end2end.sh GPU_ID NET [DATASET] [--set KEY VALUE ...]; run it alone for help.
METHOD=faster_rcnn_end2end
source "$(dirname "$0")/_run.sh"
