#!/bin/bash
# Trains Faster R-CNN end to end with online hard example mining, and tests it.
# Usage: ./experiments/scripts/faster_rcnn_end2end_ohem.sh GPU_ID NET [DATASET] [--set KEY VALUE ...]; run it alone for help.
exec "$(dirname "$0")/../run" "$0" faster_rcnn_end2end_ohem "" "$@"
