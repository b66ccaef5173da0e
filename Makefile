# Two commands matter: `make demo` and `make test`. Each installs what it needs into .venv first.
PYTHON ?= python3
PIP_ARGS ?=
JOBS ?= 2

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO := runs/demo
DATA ?= ../shared/data
RESULTS := --docs docs/results.md --config configs/results
STUDY := --docs docs/results.md --config configs/study

export WANDB_MODE ?= offline
export MPLBACKEND ?= Agg

.DEFAULT_GOAL := help
.PHONY: help install demo results test test-all lint format clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## create .venv with the pinned versions (the other targets do it when needed)

# One resolver run with the pins: torch's pinned version is chosen before anything can ask for another.
$(STAMP): pyproject.toml constraints.txt CMakeLists.txt $(wildcard csrc/*)
	@$(PYTHON) -c 'import sys; sys.exit("videowino needs Python 3.10 or newer, $(PYTHON) is " + sys.version.split()[0] + "; try make PYTHON=python3.12" if sys.version_info < (3, 10) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (about a minute)"
	$(BIN)/python -m pip install -q --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e ".[wandb,pytorchvideo,prepare,shards,dev]"
	@touch $@

demo: $(STAMP) ## synthetic clips -> dense R3D -> four pruned runs -> table and page
	rm -rf $(DEMO)
	$(BIN)/python datasets/synthetic.py --root datasets/synthetic
	$(BIN)/python train.py fit --config configs/demo.yaml --run $(DEMO)/dense
	$(BIN)/python train.py fit --config configs/demo_low_rank.yaml --run $(DEMO)/low_rank_50 --model.weights $(DEMO)/dense/checkpoints/last.ckpt --sparsity 0.5
	$(BIN)/python train.py fit --config configs/demo_low_rank.yaml --run $(DEMO)/low_rank_75 --model.weights $(DEMO)/dense/checkpoints/last.ckpt --sparsity 0.75
	$(BIN)/python train.py fit --config configs/demo_vanilla.yaml --run $(DEMO)/vanilla_50 --model.weights $(DEMO)/dense/checkpoints/last.ckpt --sparsity 0.5
	$(BIN)/python train.py fit --config configs/demo_vanilla.yaml --run $(DEMO)/vanilla_75 --model.weights $(DEMO)/dense/checkpoints/last.ckpt --sparsity 0.75
	$(BIN)/python evaluate.py compare \
	  $(DEMO)/low_rank_50/checkpoints/last.ckpt $(DEMO)/low_rank_75/checkpoints/last.ckpt \
	  $(DEMO)/vanilla_50/checkpoints/last.ckpt $(DEMO)/vanilla_75/checkpoints/last.ckpt \
	  --baseline $(DEMO)/dense/checkpoints/last.ckpt --exact \
	  --layers --json $(DEMO)/results.json
	$(BIN)/python evaluate.py deploy $(DEMO)/low_rank_75/checkpoints/last.ckpt --out $(DEMO)/model.vwino
	$(BIN)/python evaluate.py predict $(DEMO)/model.vwino $$(find datasets/synthetic/videos -name '*.*' | sort | head -3)
	$(BIN)/python evaluate.py report $(DEMO)/low_rank_50 $(DEMO)/low_rank_75 $(DEMO)/vanilla_50 $(DEMO)/vanilla_75 \
	  --baseline $(DEMO)/dense --comparison $(DEMO)/results.json \
	  --out $(DEMO)/report.html --svg $(DEMO)/accuracy_speedup.svg

results: $(STAMP) ## every table and picture of docs/results.md (hours; goes on where it stopped)
	$(BIN)/python -m benchmarks.results $(RESULTS)/avletters.yaml --splits 1,2,3 --root $(DATA)/avletters --out runs/results/avletters
	$(BIN)/python -m benchmarks.results $(RESULTS)/avletters_known.yaml --splits 4 --root $(DATA)/avletters --out runs/results/avletters_known
	$(BIN)/python -m benchmarks.results $(RESULTS)/survfight.yaml --splits 1,2,3 --root $(DATA)/survfight --out runs/results/survfight
	$(BIN)/python -m benchmarks.study $(STUDY)/synthetic_study.yaml
	$(BIN)/python -m benchmarks.study $(STUDY)/avletters_study.yaml --root $(DATA)/avletters
	$(BIN)/python -m benchmarks.study $(STUDY)/survfight_study.yaml --root $(DATA)/survfight

test: $(STAMP) ## the tests, without the slow ones
	$(BIN)/python -m pytest -q -n $(JOBS) -m "not slow"

test-all: $(STAMP) ## every test
	$(BIN)/python -m pytest -q -n $(JOBS)

lint: $(STAMP) ## ruff (rules and format) and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP) ## let ruff fix and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove .venv, caches and runs/demo (your other runs and data stay)
	rm -rf $(VENV) $(DEMO) .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
