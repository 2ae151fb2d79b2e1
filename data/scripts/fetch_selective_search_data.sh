#!/bin/bash
# Proposals of selective search for PASCAL VOC -> data/selective_search_data.  Options: --help
exec "$(dirname "${BASH_SOURCE[0]}")/_fetch.sh" selective_search_data "$@"
