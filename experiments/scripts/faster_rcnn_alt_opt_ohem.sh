#!/bin/bash
# Trains Faster R-CNN with online hard example mining by alternating optimisation, and tests it.
# Usage: ./experiments/scripts/faster_rcnn_alt_opt_ohem.sh GPU_ID NET [DATASET] [--set KEY VALUE ...]; run it alone for help.
exec "$(dirname "$0")/../run" "$0" faster_rcnn_alt_opt_ohem "" "$@"
