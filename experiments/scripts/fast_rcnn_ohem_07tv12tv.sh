#!/bin/bash
# Trains Fast R-CNN with OHEM on trainval of VOC 2007 and VOC 2012, tests it on VOC 2007.
# Usage: ./experiments/scripts/fast_rcnn_ohem_07tv12tv.sh GPU_ID NET [--set KEY VALUE ...]; run it alone for help.
exec "$(dirname "$0")/../run" "$0" fast_rcnn_ohem pascal_voc_07+12 "$@"
