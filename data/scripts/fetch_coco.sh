#!/bin/bash
# MS COCO -> data/coco; parts 2014 (default), 2017, test2015.  Options: --help
exec "$(dirname "${BASH_SOURCE[0]}")/_fetch.sh" coco "$@"
