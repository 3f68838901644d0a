# The commands of the project. `make demo` is the one to start with.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: help setup servers demo test test-unit test-integration conformance verify format bench bench-recorder bench-encoder bench-sync bench-sync-load bench-browser bench-operator bench-start bench-align bench-sizing bench-outputs bench-upload bench-long crds up images e2e clean

CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/livekit-egress-operator
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null || echo $(CACHE)/uv/bin/uv)
GO_GROUP := $(if $(shell command -v go 2>/dev/null || ls /usr/local/go/bin/go 2>/dev/null),,--group go)
CHART := helm/livekit-egress-operator
PYTEST_ARGS ?=
# Tests at once, where they do not disturb each other.
WORKERS ?= 2
# Cases of the conformance suite at once: two of them make each other wait on two cores, and what they measure worse. Its
# options, for example --case mute or --play.
JOBS ?= 1
CONFORMANCE_ARGS ?=

help:  ## show this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

$(CACHE)/uv/bin/uv:
	@echo "installing uv into $(CACHE)/uv (once)"
	@$(PYTHON) -m venv $(CACHE)/uv || { echo "python3-venv is missing: apt-get install python3-venv"; exit 1; }
	@$(CACHE)/uv/bin/pip install --quiet --disable-pip-version-check uv

$(VENV)/.synced: pyproject.toml uv.lock | $(UV)
	@echo "installing the Python packages into $(VENV)"
	@$(UV) sync --quiet --locked --all-extras $(GO_GROUP)
	@touch $@

setup: $(VENV)/.synced  ## create .venv with everything that is needed

servers: $(VENV)/.synced  ## build kube-apiserver, etcd, livekit-server … (once, about 10 minutes on two cores)
	@$(RUN)/python -m devstack build

demo: $(VENV)/.synced  ## record a real participant through real Kubernetes objects, then show the files
	@$(RUN)/python -m devstack.demo

up: $(VENV)/.synced  ## leave the whole stack running and print the exports for kubectl
	@$(RUN)/python -m devstack up

test: $(VENV)/.synced  ## unit and integration tests; builds and starts what they need
	@$(RUN)/python -m devstack build
	@$(RUN)/python -m devstack build helm
	@$(RUN)/python -m devstack.gotools tests/gitops/kstatus tests/gitops/argohealth
	@echo "the tests that may run beside others, $(WORKERS) at a time; then those with media in real time, one by one"
	$(RUN)/pytest tests/unit tests/integration tests/gitops -m "not realtime" -n $(WORKERS) --dist loadfile $(PYTEST_ARGS)
	$(RUN)/pytest tests/integration tests/conformance -m realtime $(PYTEST_ARGS)

test-unit: $(VENV)/.synced  ## hermetic tests only
	$(RUN)/pytest tests/unit -m unit -n $(WORKERS) --dist loadfile $(PYTEST_ARGS)

test-integration: $(VENV)/.synced  ## tests against the real servers only
	@$(RUN)/python -m devstack build
	@$(RUN)/python -m devstack build helm
	@$(RUN)/python -m devstack.gotools tests/gitops/kstatus tests/gitops/argohealth
	$(RUN)/pytest tests/integration tests/conformance tests/gitops $(PYTEST_ARGS)

conformance: $(VENV)/.synced  ## every behaviour of participants and tracks, proven on decoded files; report in dist/conformance
	@$(RUN)/python -m devstack build
	@$(RUN)/python -m devstack.conformance --jobs $(JOBS) $(CONFORMANCE_ARGS)

verify: $(VENV)/.synced  ## format, lint, types, import rules, manifests, chart (helm lint, kubeconform, checkov), docs
	$(UV) lock --check --quiet
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy
	$(RUN)/lint-imports
	$(RUN)/yamllint --strict crds examples helm docs/gitops .yamllint.yaml
	$(RUN)/python -m egress_operator.crds --check crds
	$(RUN)/python -m egress_operator.crds --check $(CHART)/files/crds
	$(RUN)/python docs/generate_reference.py --check
	$(RUN)/python docs/generate_chart_reference.py --check
	$(RUN)/python docs/generate_behaviour.py --check
	$(RUN)/python -m devstack.charts
	$(RUN)/pytest --quiet tests/docs tests/charts

images: $(VENV)/.synced  ## build the operator's and the recorder's container image; sizes, start-up times, SBOMs in dist/sbom
	@$(RUN)/python -m devstack.e2e --images
	@$(RUN)/python -m devstack.e2e.startup

e2e: $(VENV)/.synced  ## record on a real kind cluster (made where there is none); `python -m devstack.e2e --down` ends it
	@$(RUN)/python -m devstack.e2e $(PYTEST_ARGS)

format: $(VENV)/.synced  ## format the code
	$(RUN)/ruff format .
	$(RUN)/ruff check --fix .

crds: $(VENV)/.synced  ## write crds/, what the chart has of it, and the tables of fields and values anew
	$(RUN)/python -m egress_operator.crds crds
	$(RUN)/python -m egress_operator.crds $(CHART)/files/crds
	$(RUN)/python docs/generate_reference.py
	$(RUN)/python docs/generate_chart_reference.py

bench: bench-recorder bench-encoder bench-sync bench-browser bench-align bench-start bench-operator bench-sizing bench-outputs bench-upload bench-long  ## all figures of the README

bench-recorder: $(VENV)/.synced  ## CPU and memory of the recorder beside GStreamer with LiveKit Egress' settings
	@$(RUN)/python benchmarks/bench_recorder.py

bench-encoder: $(VENV)/.synced  ## CPU and picture of the encoder's rungs per size: the table of docs/encoding.md
	@$(RUN)/python benchmarks/bench_encoder.py

bench-sync: $(VENV)/.synced  ## A/V offset and missing frames in the decoded file, idle and on a bad network; what no statistics know
	@$(RUN)/python benchmarks/bench_delays.py
	@$(RUN)/python benchmarks/bench_sync.py
	@$(RUN)/python benchmarks/bench_sync.py --impaired

bench-sync-load: $(VENV)/.synced  ## the same for 30 minutes with all CPUs busy with other work
	@$(RUN)/python benchmarks/bench_sync.py --load --seconds 1800

bench-browser: $(VENV)/.synced  ## A/V offset and cadence with headless Chromium as publisher; left out without chromium or npm
	@$(RUN)/python benchmarks/bench_browser.py

bench-align: $(VENV)/.synced  ## two recordings of one room, mixed by what `egress-recorder align` says
	@$(RUN)/python benchmarks/bench_align.py

bench-start: $(VENV)/.synced  ## process start to first frame, stop to finished file; track seen to first frame
	@$(RUN)/python benchmarks/bench_start.py
	@$(RUN)/python benchmarks/bench_start.py --waiting

bench-operator: $(VENV)/.synced  ## API calls and memory of the operator: 200 recordings, 1000 at 20/s, 200 with webhooks, idle
	@$(RUN)/python benchmarks/bench_operator.py
	@$(RUN)/python benchmarks/bench_operator.py --recordings 1000 --rate 20
	@$(RUN)/python benchmarks/bench_operator.py --webhooks
	@$(RUN)/python benchmarks/bench_operator.py --idle 60

bench-sizing: $(VENV)/.synced  ## CPU and memory of the recorder per preset: the table of docs/sizing.md
	@$(RUN)/python benchmarks/bench_sizing.py

bench-outputs: $(VENV)/.synced  ## CPU of several outputs from one capture beside one MP4; of sound alone beyond its reception
	@$(RUN)/python benchmarks/bench_outputs.py

bench-upload: $(VENV)/.synced  ## an hour, 1 GB, into a real S3 server: what is left to send after the stop, memory; 3 GB of disk, 3 minutes
	@$(RUN)/python benchmarks/bench_upload.py

bench-long: $(VENV)/.synced  ## 12 hours with maxFileDuration 6 h, faster than real time: two files, no picture missing or twice
	@$(RUN)/python benchmarks/bench_long.py

clean:  ## remove what the checks and the demo left (the cache of built servers stays)
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache demo-output
