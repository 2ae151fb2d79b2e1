# make demo    set up, build, make the embedded data set, train Fast R-CNN without and with OHEM, test, leave pictures
# make test    set up, build, run all tests
# make setup   the virtual environment .venv with the tested versions of requirements.txt
# make build   the schema, the RoI kernels and the Cython modules
# make test-gpu  on a machine with a CUDA device: every layer, OHEM steps and the tools on GPU and CPU alike
# make gpu PY=python3  on a machine with a CUDA device whose own Python holds PyTorch: build in place and install nothing;
#              tests, speed, a trace and a training in steps of minutes, each with its record in output/gpu
#              (GPU_STEPS="tests speed": these, also again)
# make gpu-voc GPU=0  VGG16 on VOC07 in full, Fast R-CNN and OHEM
# make lint    the style (ruff) and the types of public functions (mypy), in seconds; CI runs it before the tests
# make bench   measure speed and memory beside peers: table, JSON and plot in output/bench (CAFFE_PYTHON=/path/to/python
#              adds the C++ Caffe as a peer)
# make results the table of results: published figures, commands, what was measured here
# make matrix  run every row of it small, on digits; goes on where it was (rm -r output/matrix runs all anew)
# make clean   remove what was built (make distclean: also .venv, output/ and data/digits)
#
# Another Python: make demo PYTHON=python3.12   (3.11 or newer)

PYTHON ?= python3
VENV := .venv
# Relative, so that spaces in the project's path do not matter.
PY := $(VENV)/bin/python
# Seen from the folders that are built; a bare name is looked for on PATH.
GPU_PY = $(if $(filter /%,$(PY)),$(PY),$(if $(findstring /,$(PY)),../$(PY),$(PY)))
GPU ?= 0
SCRIPTS := experiments/scripts
DEMO := output/demo
DIGITNET := data/digits_pretrained/DigitNet.caffemodel
DEMO_INPUTS = data/digits/settings.json $(DIGITNET) $(wildcard models/digits/DigitNet/*/*.prototxt) $(wildcard experiments/cfgs/*.yml)

# Names of any alphabet, also where the locale is C.
export PYTHONUTF8 := 1

.PHONY: help setup build test test-others test-tools test-gpu gpu gpu-voc bench results matrix lint demo clean distclean

help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' Makefile

setup: $(VENV)/.installed

$(VENV)/.installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than Python 3.11; say which one to use: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

build: setup
	@$(MAKE) --no-print-directory -C caffe-fast-rcnn PYTHON=../$(PY)
	@$(MAKE) --no-print-directory -C lib PYTHON=../$(PY)

# Two processes at once: the second runs most tests of the tools, and prints its output when it ends.
TOOL_TESTS := $(wildcard tests/tools_tests/test_[f-z]*.py)

test: build
	@$(MAKE) --no-print-directory --keep-going -j2 test-others test-tools

test-others:
	OMP_NUM_THREADS=1 $(PY) -m pytest $(addprefix --ignore=,$(TOOL_TESTS))

test-tools:
	@output=$$(mktemp); trap 'rm -f "$$output"' EXIT; \
	  OMP_NUM_THREADS=1 $(PY) -m pytest $(TOOL_TESTS) > "$$output" 2>&1; status=$$?; cat "$$output"; exit $$status

test-gpu: build
	@$(PY) -c 'import sys, torch; sys.exit(None if torch.cuda.is_available() else "error: make test-gpu: PyTorch %s finds no CUDA device; it needs one and a CUDA build of PyTorch" % torch.__version__)'
	$(PY) -m pytest tests/gpu tests/caffe_tests/test_triton_kernels.py

gpu:
	@$(MAKE) --no-print-directory -C caffe-fast-rcnn PYTHON=$(GPU_PY)
	@$(MAKE) --no-print-directory -C lib PYTHON=$(GPU_PY)
	@$(PY) benchmarks/gpu_steps.py $(if $(GPU_STEPS),--steps $(GPU_STEPS))

gpu-voc: build
	$(SCRIPTS)/fast_rcnn.sh $(GPU) VGG16 pascal_voc
	$(SCRIPTS)/fast_rcnn_ohem.sh $(GPU) VGG16 pascal_voc

bench: build
	$(PY) benchmarks/run.py $(if $(CAFFE_PYTHON),--caffe-python $(CAFFE_PYTHON))

lint: setup
	$(PY) -m ruff check .
	$(PY) -m mypy

results: build
	@$(PY) tools/results_table.py

matrix: build $(DIGITNET)
	$(PY) tools/matrix.py

# A finished step leaves its stamp or file and is not done again; `rm -r output/demo` trains anew.
demo: build
	@$(MAKE) --no-print-directory $(DEMO)/summary.json
	@echo "report.html, detections.jpg, hard_rois.jpg and summary.json are in $(DEMO)/"

data/digits/settings.json:
	$(PY) tools/make_digits.py --out data/digits

$(DIGITNET):
	$(PY) tools/pretrain_digits.py --out $@

$(DEMO)/plain.done: $(DEMO_INPUTS)
	@mkdir -p $(DEMO)
	OVERWRITE=1 $(SCRIPTS)/fast_rcnn.sh cpu DigitNet digits
	@touch $@

$(DEMO)/ohem.done: $(DEMO_INPUTS)
	@mkdir -p $(DEMO)
	OVERWRITE=1 $(SCRIPTS)/fast_rcnn_ohem.sh cpu DigitNet digits
	@touch $@

$(DEMO)/summary.json: $(DEMO)/plain.done $(DEMO)/ohem.done
	$(PY) tools/report.py output/default/digits_trainval output/fast_rcnn_ohem/digits_trainval \
	  --names "Fast R-CNN" "Fast R-CNN + OHEM" --out $(DEMO)/report.html --pictures $(DEMO) --summary $@

clean:
	-@$(MAKE) --no-print-directory -C caffe-fast-rcnn clean
	-@$(MAKE) --no-print-directory -C lib clean

distclean: clean
	rm -rf $(VENV) output data/digits data/digits_pretrained data/cache
