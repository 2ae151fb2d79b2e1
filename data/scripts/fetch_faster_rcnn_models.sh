#!/bin/bash
# The authors' Faster R-CNN detectors -> data/faster_rcnn_models.  Options: --help
exec "$(dirname "${BASH_SOURCE[0]}")/_fetch.sh" faster_rcnn_models "$@"
