#!/bin/bash
# Weights trained on ImageNet, to start from -> data/imagenet_models.  Options: --help
exec "$(dirname "${BASH_SOURCE[0]}")/_fetch.sh" imagenet_models "$@"
