#!/bin/bash
# Trains and tests Fast R-CNN with online hard example mining.
# Usage: ./experiments/scripts/fast_rcnn_ohem.sh GPU_ID NET [DATASET] [--set KEY VALUE ...]; run it alone for help.
exec "$(dirname "$0")/../run" "$0" fast_rcnn_ohem "" "$@"
