#!/bin/bash
# The authors' detectors trained with OHEM -> data/fast_rcnn_ohem_models.  Options: --help
exec "$(dirname "${BASH_SOURCE[0]}")/_fetch.sh" fast_rcnn_ohem_models "$@"
