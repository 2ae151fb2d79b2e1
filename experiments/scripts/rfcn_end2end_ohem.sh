#!/bin/bash
# Trains R-FCN end to end with online hard example mining, and tests it.
# Usage: ./experiments/scripts/rfcn_end2end_ohem.sh GPU_ID NET [DATASET] [--set KEY VALUE ...]; run it alone for help.
METHOD=rfcn_end2end_ohem
source "$(dirname "$0")/_run.sh"
