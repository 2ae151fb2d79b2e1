#!/bin/bash
# PASCAL VOC -> data/VOCdevkit<year>; parts 2007 (default), 2010, 2012, 2012test.  Options: --help
exec "$(dirname "${BASH_SOURCE[0]}")/_fetch.sh" voc "$@"
