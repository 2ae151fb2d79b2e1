#!/bin/bash
# Trains and tests Fast R-CNN.
# Usage: ./experiments/scripts/fast_rcnn.sh GPU_ID NET [DATASET] [--set KEY VALUE ...]; run it alone for help.
exec "$(dirname "$0")/../run" "$0" fast_rcnn "" "$@"
