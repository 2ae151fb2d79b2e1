#!/bin/bash
# Body of the scripts beside it, which source it: trains a detector, then tests it.
# They say METHOD, a folder below models/<dataset>/<NET>/; a script for one data set alone says ONLY_DATASET.
set -euo pipefail
cd "$(dirname "$0")/../.."

case $METHOD in
  faster_rcnn_end2end* | rfcn_end2end*) TABLE=settings_end2end.txt ;;
  *) TABLE=settings.txt ;;
esac

datasets() {
  awk '/^[^#]/ { printf " %s", $1 }' "experiments/scripts/$TABLE"
}

usage() {
  cat <<TEXT
Usage: [VARIABLE=...] $0 GPU_ID NET [DATASET] [--set KEY VALUE ...]
  GPU_ID   number of the GPU, or cpu
  NET      VGG16, VGG_CNN_M_1024, ZF, ResNet-50 (R-FCN), SqueezeNet or DigitNet (a folder below models/*/)
  DATASET  pascal_voc (default), or another row of experiments/scripts/$TABLE:
          $(datasets); your own: voc:FOLDER in VOC's layout with the sets trainval and test
           (voc:A+voc:B trains on both and tests on A), or coco:FOLDER with trainval.json, test.json and images/
  --set    settings of lib/fast_rcnn/config.py, e.g. --set EXP_DIR seed_rng1701 RNG_SEED 1701
Variables: ITERS (iterations), WEIGHTS (.caffemodel to start from, none = from scratch), RESUME (a state, or auto),
           SCHEDULE=paper (the paper's longer one, where the table has it),
           PRECISION (float32, tf32 or bf16: how training and testing multiply),
           NPROC (processes that train and test together; on GPUs from GPU_ID on, one each),
           PLUS=M (train and test at several scales), B (test in two stages with voting) or M+B,
           TRAINED (a .caffemodel: only test it)
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
GPU_ID=$1 NET=$2 DATASET=${ONLY_DATASET:-pascal_voc}
shift 2
if [[ $# -gt 0 && $1 != --* ]]; then
  DATASET=$1
  shift
fi
EXTRA_ARGS=("$@")
if [[ $# -gt 0 && $1 != --set ]]; then
  fail "expected --set after the data set, got $1; run $0 alone for help"
fi

# ---- settings of the data set: a row of the table, or a folder of one's own
if [[ ${ONLY_DATASET:-$DATASET} != "$DATASET" ]]; then
  fail "$(basename "$0") trains on $ONLY_DATASET and takes no other data set, got $DATASET"
fi
SOLVER=solver
case $DATASET in
  voc:*)
    TRAIN_IMDB=${DATASET//+/@trainval+}@trainval TEST_IMDB=${DATASET%%+*}@test DEFAULT_ITERS=40000 PAPER_ITERS=- ;;
  coco:*)
    TRAIN_IMDB=$DATASET/trainval.json@${DATASET#coco:}/images TEST_IMDB=$DATASET/test.json@${DATASET#coco:}/images
    DEFAULT_ITERS=40000 PAPER_ITERS=- ;;
  *)
    ROW=$(awk -v name="$DATASET" '$1 == name { print $2, $3, $4, $5, $6 }' "experiments/scripts/$TABLE")
    [[ -n $ROW ]] || fail "unknown data set $DATASET; use voc:FOLDER, coco:FOLDER or one of:$(datasets)"
    read -r TRAIN_IMDB TEST_IMDB SOLVER DEFAULT_ITERS PAPER_ITERS <<< "$ROW" ;;
esac

# ---- settings of the net
MODEL=$(echo models/*/"$NET/$METHOD")
[[ -d $MODEL ]] || fail "unknown net $NET: no folder models/*/$NET/$METHOD"
case $NET in
  DigitNet)
    DEFAULT_WEIGHTS=none
    if [[ $DATASET == digits ]]; then
      DEFAULT_WEIGHTS=data/digits_pretrained/DigitNet.caffemodel
    fi ;;
  SqueezeNet) DEFAULT_WEIGHTS=data/imagenet_models/SqueezeNet.caffemodel DEFAULT_ITERS=8000 ;;
  ResNet-50) DEFAULT_WEIGHTS=data/imagenet_models/ResNet-50-model.caffemodel ;;
  *) DEFAULT_WEIGHTS=data/imagenet_models/$NET.v2.caffemodel ;;
esac
case ${SCHEDULE:-} in
  '') ;;
  paper)
    [[ $PAPER_ITERS != - ]] || fail "SCHEDULE=paper is not known for $DATASET; leave it out"
    SOLVER=solver_200k DEFAULT_ITERS=$PAPER_ITERS ;;
  *) fail "unknown SCHEDULE $SCHEDULE; use paper, or leave it out" ;;
esac
case $METHOD in
  faster_rcnn_alt_opt*)
    [[ $SOLVER == solver ]] || fail "alternating optimisation has no schedule for $DATASET"
    TRAIN_TOOL=(tools/train_faster_rcnn_alt_opt.py --net_name "$NET") TEST_NET=faster_rcnn_test.pt ;;
  *)
    [[ -f $MODEL/$SOLVER.prototxt ]] || fail "$NET has no $MODEL/$SOLVER.prototxt, the schedule for $DATASET"
    TRAIN_TOOL=(tools/train_net.py --solver "$MODEL/$SOLVER.prototxt") TEST_NET=test.prototxt ;;
esac
ITERS=${ITERS:-$DEFAULT_ITERS}

# ---- settings of the method: the last file wins; what differs from the method alone is kept in a folder of its own
CFGS=("$METHOD" "$NET" "${METHOD}_$NET") EXPERIMENT=$METHOD
PLUS=${PLUS:-}
case $PLUS in
  '' | B) ;;
  M | M+B) CFGS+=(multiscale "multiscale_$NET") EXPERIMENT+=_multiscale ;;
  *) fail "unknown PLUS $PLUS; use M, B or M+B" ;;
esac
if [[ $DATASET == *+coco ]]; then
  DEFAULT_WEIGHTS=output/$EXPERIMENT/coco_2014_trainval/${NET,,}_fast_rcnn_iter_240000.caffemodel
  EXPERIMENT+=_from_coco
  [[ -n ${WEIGHTS:-}${TRAINED:-} || -f $DEFAULT_WEIGHTS ]] || fail "$DATASET starts from a net trained on COCO, and there is no" \
    "$DEFAULT_WEIGHTS; train it first, with the same PLUS and the data set coco_trainval, or say WEIGHTS=FILE"
fi
WEIGHTS=${WEIGHTS:-$DEFAULT_WEIGHTS}

# Prints the words --set EXP_DIR ..., where experiment $1 is more than the method, and the user's --set after them.
settings() {
  if [[ $1 != "$METHOD" ]]; then
    printf '%s\n' --set EXP_DIR "$1" "${EXTRA_ARGS[@]:1}"
  elif [[ ${#EXTRA_ARGS[@]} -gt 0 ]]; then
    printf '%s\n' "${EXTRA_ARGS[@]}"
  fi
}

CFG_ARGS=()
for NAME in "${CFGS[@]}"; do
  if [[ -f experiments/cfgs/$NAME.yml ]]; then
    CFG_ARGS+=(--cfg "experiments/cfgs/$NAME.yml")
  fi
done
TEST_CFG_ARGS=("${CFG_ARGS[@]}") TEST_EXPERIMENT=$EXPERIMENT
if [[ $PLUS == *B ]]; then
  TEST_CFG_ARGS+=(--cfg experiments/cfgs/multistage.yml) TEST_EXPERIMENT+=_multistage
fi
mapfile -t TRAIN_SET < <(settings "$EXPERIMENT")
mapfile -t TEST_SET < <(settings "$TEST_EXPERIMENT")

DEVICE_ARGS=(--gpu "$GPU_ID")
if [[ -n ${PRECISION:-} ]]; then
  DEVICE_ARGS+=(--precision "$PRECISION")
fi

# ---- run
PYTHON=python
if [[ -x .venv/bin/python ]]; then
  PYTHON=.venv/bin/python
fi
LAUNCH=("$PYTHON")
if [[ ${NPROC:-1} != 1 ]]; then
  [[ $METHOD != faster_rcnn_alt_opt* ]] || fail "NPROC does not go with $METHOD; leave it out, or use faster_rcnn_end2end"
  # 120 seconds for the iteration that runs and a snapshot, when it is stopped
  LAUNCH+=(tools/torchrun.py --standalone --nproc_per_node "$NPROC" --shutdown-timeout 120)
fi
export PYTHONUNBUFFERED=True

SLUG=$(echo "${TEST_EXPERIMENT}_${NET}_${DATASET##*/}_${EXTRA_ARGS[*]}" | tr -cs 'A-Za-z0-9._\n-' _ | cut -c 1-120)
LOG=experiments/logs/$SLUG.txt.$(date +%Y-%m-%d_%H-%M-%S)

# Shows the command, runs it, and keeps a copy of all it says in the log; its failure ends the script.
# A signal to the script goes to the command, which may have a snapshot to write: script and log wait for its end.
run() {
  set -m        # a process group for the job, out of the terminal's reach
  (
    trap : INT TERM
    { printf '+'; printf ' %q' "$@"; echo; exec "$@"; } 2>&1 | { trap '' INT TERM; exec tee -a "$LOG"; }
  ) &
  set +m
  local job=$! code=0
  trap 'kill -INT -- -$job' INT
  trap 'kill -TERM -- -$job' TERM
  trap 'kill -STOP -- -$job; kill -STOP $$; kill -CONT -- -$job' TSTP
  wait "$job" || code=$?
  while kill -0 "$job" 2> /dev/null; do     # a signal ended the wait, not the job
    code=0
    wait "$job" || code=$?
  done
  trap - INT TERM TSTP
  return "$code"
}

echo "Logging output to $LOG" | tee -a "$LOG"
if [[ -z ${TRAINED:-} ]]; then
  TRAIN_ARGS=("${DEVICE_ARGS[@]}" --imdb "$TRAIN_IMDB" --iters "$ITERS")
  if [[ $WEIGHTS != none ]]; then
    TRAIN_ARGS+=(--weights "$WEIGHTS")
  fi
  if [[ -n ${RESUME:-} ]]; then
    TRAIN_ARGS+=(--resume "$RESUME")
  fi
  run "${LAUNCH[@]}" "${TRAIN_TOOL[@]}" "${TRAIN_ARGS[@]}" "${CFG_ARGS[@]}" "${TRAIN_SET[@]}"
  TRAINED=$(sed -n 's/^Wrote snapshot to: //p' "$LOG" | tail -n 1)
fi

run "${LAUNCH[@]}" tools/test_net.py "${DEVICE_ARGS[@]}" --def "$MODEL/$TEST_NET" --net "$TRAINED" \
  --imdb "$TEST_IMDB" --num_dets 2000 --det_thresh 0.00001 "${TEST_CFG_ARGS[@]}" "${TEST_SET[@]}"
