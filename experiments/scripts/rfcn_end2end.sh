#!/bin/bash
# Trains R-FCN end to end, and tests it.
# Usage: ./experiments/scripts/rfcn_end2end.sh GPU_ID NET [DATASET] [--set KEY VALUE ...]; run it alone for help.
METHOD=rfcn_end2end
source "$(dirname "$0")/_run.sh"
