#!/bin/bash
# Body of the scripts beside it: tools/fetch.py, with the project's Python where `make setup` has made one.
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
PYTHON=python3
if [[ -x $ROOT/.venv/bin/python ]]; then
  PYTHON=$ROOT/.venv/bin/python
fi
exec "$PYTHON" "$ROOT/tools/fetch.py" "$@"
