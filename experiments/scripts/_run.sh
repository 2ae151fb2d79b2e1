#!/bin/bash
# Body of the scripts beside it, which source it: trains a detector, then tests it.
# They say METHOD, a folder below models/<dataset>/<NET>/, and YEARS, those of VOC it is trained on.
set -euo pipefail
cd "$(dirname "$0")/../.."

usage() {
  cat <<TEXT
Usage: [VARIABLE=...] $0 GPU_ID NET [DATASET] [--set KEY VALUE ...]
  GPU_ID   number of the GPU, or cpu
  NET      VGG16, VGG_CNN_M_1024, SqueezeNet or DigitNet (a folder below models/*/)
  DATASET  pascal_voc (default), digits; your own: voc:FOLDER in VOC's layout with the sets trainval and test,
           or coco:FOLDER with trainval.json, test.json and images/
  --set    settings of lib/fast_rcnn/config.py, e.g. --set EXP_DIR seed_rng1701 RNG_SEED 1701
Variables: ITERS (iterations), WEIGHTS (.caffemodel to start from, none = from scratch), RESUME (a state, or auto)
TEXT
}

fail() {
  echo "error: $*" >&2
  exit 1
}

# ---- arguments
if [[ $# -lt 2 || $1 == -* || $2 == -* ]]; then
  usage >&2
  exit 1
fi
GPU_ID=$1 NET=$2 DATASET=pascal_voc
shift 2
if [[ $# -gt 0 && $1 != --* ]]; then
  DATASET=$1
  shift
fi
EXTRA_ARGS=("$@")
if [[ $# -gt 0 && $1 != --set ]]; then
  fail "expected --set after the data set, got $1; run $0 alone for help"
fi

# ---- settings of the data set
case $DATASET in
  pascal_voc)
    TRAIN_IMDB=voc_2007_trainval TEST_IMDB=voc_2007_test DEFAULT_ITERS=40000
    if [[ $YEARS == 07+12 ]]; then
      TRAIN_IMDB+=+voc_2012_trainval DEFAULT_ITERS=80000
    fi ;;
  digits)
    TRAIN_IMDB=voc:data/digits@trainval TEST_IMDB=voc:data/digits@test DEFAULT_ITERS=1000 ;;
  voc:*)
    TRAIN_IMDB=$DATASET@trainval TEST_IMDB=$DATASET@test DEFAULT_ITERS=40000 ;;
  coco:*)
    TRAIN_IMDB=$DATASET/trainval.json@${DATASET#coco:}/images TEST_IMDB=$DATASET/test.json@${DATASET#coco:}/images
    DEFAULT_ITERS=40000 ;;
  coco) fail "data set coco is not supported yet; use pascal_voc, digits, voc:FOLDER or coco:FOLDER" ;;
  *) fail "unknown data set $DATASET; use pascal_voc, digits, voc:FOLDER or coco:FOLDER" ;;
esac
if [[ $YEARS == 07+12 && $DATASET != pascal_voc ]]; then
  fail "$(basename "$0") trains on VOC 2007 and 2012 and takes no other data set, got $DATASET"
fi

# ---- settings of the net
MODEL=$(echo models/*/"$NET/$METHOD")
[[ -d $MODEL ]] || fail "unknown net $NET: no folder models/*/$NET/$METHOD"
case $NET in
  DigitNet)
    DEFAULT_WEIGHTS=none
    if [[ $DATASET == digits ]]; then
      DEFAULT_WEIGHTS=data/digits_pretrained/DigitNet.caffemodel
    fi ;;
  SqueezeNet) DEFAULT_WEIGHTS=data/imagenet_models/SqueezeNet.caffemodel DEFAULT_ITERS=2000 ;;
  *) DEFAULT_WEIGHTS=data/imagenet_models/$NET.v2.caffemodel ;;
esac
ITERS=${ITERS:-$DEFAULT_ITERS}
WEIGHTS=${WEIGHTS:-$DEFAULT_WEIGHTS}

CFG_ARGS=()
for NAME in "$METHOD" "$NET"; do
  if [[ -f experiments/cfgs/$NAME.yml ]]; then
    CFG_ARGS+=(--cfg "experiments/cfgs/$NAME.yml")
  fi
done

# ---- run
PYTHON=python
if [[ -x .venv/bin/python ]]; then
  PYTHON=.venv/bin/python
fi
export PYTHONUNBUFFERED=True

SLUG=$(echo "${METHOD}_${NET}_${DATASET##*/}_${EXTRA_ARGS[*]}" | tr -cs 'A-Za-z0-9._\n-' _ | cut -c 1-120)
LOG=experiments/logs/$SLUG.txt.$(date +%Y-%m-%d_%H-%M-%S)

# Shows the command, runs it, and keeps a copy of all it says in the log; its failure ends the script.
run() {
  { printf '+'; printf ' %q' "$@"; echo; "$@"; } 2>&1 | tee -a "$LOG"
}

echo "Logging output to $LOG" | tee -a "$LOG"
TRAIN_ARGS=(--gpu "$GPU_ID" --solver "$MODEL/solver.prototxt" --imdb "$TRAIN_IMDB" --iters "$ITERS")
if [[ $WEIGHTS != none ]]; then
  TRAIN_ARGS+=(--weights "$WEIGHTS")
fi
if [[ -n ${RESUME:-} ]]; then
  TRAIN_ARGS+=(--resume "$RESUME")
fi
run "$PYTHON" tools/train_net.py "${TRAIN_ARGS[@]}" "${CFG_ARGS[@]}" "${EXTRA_ARGS[@]}"

NET_FINAL=$(sed -n 's/^Wrote snapshot to: //p' "$LOG" | tail -n 1)
run "$PYTHON" tools/test_net.py --gpu "$GPU_ID" --def "$MODEL/test.prototxt" --net "$NET_FINAL" --imdb "$TEST_IMDB" \
  --num_dets 2000 --det_thresh 0.00001 "${CFG_ARGS[@]}" "${EXTRA_ARGS[@]}"
