# Everything a newcomer needs: `make run` shows the exporter at work, `make test` proves it.
# Both install what is missing: Debian packages by apt, Python tools into .venv.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

SWIFT ?= swift
PYTHON ?= python3
RELEASE_DIR := .build-release
BINARY := $(RELEASE_DIR)/release/sidereal-export
APT_PACKAGES := libcurl4-openssl-dev libssl-dev libsqlite3-dev libisal-dev libyaml-dev openssl curl pkg-config python3-venv make
PY_PACKAGES := pytest==8.3.4 pytest-xdist==3.8.0 "moto[server]==5.2.5" prometheus-client==0.26.0 ruff==0.17.6 mypy==2.4.1 \
	PyYAML==6.0.4 jsonschema==4.26.0 kubernetes-validate==1.37.0 cel-python==0.5.0 promql-parser==0.11.0
# What receivers and other people's parsers make of the formats; the two OCSF packages do not share an environment.
CHECKER_APT := liblognorm-utils rsyslog
# Counts instructions; its header says where to begin.
MICRO_APT := valgrind
# Real receivers and networks for the end-to-end tests.
PEER_APT := rsyslog rsyslog-openssl iproute2
# Other people's exporters, for comparison; the second line is unpacked and not installed.
RIVAL_APT := rsyslog rsyslog-elasticsearch rsyslog-openssl libivykis0 libnet1 libjson-c5 libglib2.0-0 libwrap0 libpcre3 libcap2 libcurl4
UNPACKED_APT := syslog-ng-core syslog-ng-mod-http
# Renders the chart where there is no helm.
CHART_APT := golang-go golang-github-masterminds-sprig-dev golang-github-ghodss-yaml-dev
# Sees the status page.
BROWSER_APT := chromium fonts-dejavu-core
OCSF_PACKAGES := pydantic-ocsf==3.0.0 syslog-rfc5424-parser==0.3.2
OCSF_MODELS_PACKAGES := py-ocsf-models==0.10.0
FUZZ_CASES ?= 1000000
COUNT ?= 10000
# End-to-end tests wait for somebody half of their time.
PROCESSES ?= 3
SECONDS ?= 300
SIMULATE := $(RELEASE_DIR)/release/simulate
SEEDS ?= 1000
FROM ?= 1
# Each is searched until it is found, mostly within a few.
PLANT_SEEDS ?= 10000
# What tests need of other people.
INSTALLED := .venv/ready .venv-ocsf/ready .venv-ocsf-models/ready \
	.make/apt-checkers .make/apt-peers .make/apt-chart .make/apt-browser
SIMULATION_SOURCES := $(shell find Tests/Simulation Tests/Simulate -type f 2>/dev/null)
SWIFT_SOURCES := $(shell find Sources Package.swift -type f 2>/dev/null)

.PHONY: kube-assets chart image-check help run cluster cluster-chaos test prepared unit unit-computed unit-timed end-to-end checkers fuzz fuzz-coverage simulate simulate-plants simulate-feed simulate-scale lint format build release deps acceptance soak bench bench-cluster bench-capacity bench-peers bench-sweep bench-coordinator bench-feed bench-kubernetes bench-micro bench-check bench-accept bench-transport clean

help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: .make/apt ## Install missing Debian packages (root or sudo)

.make/apt: Makefile deploy/local/install-packages
	@mkdir -p .make
	@deploy/local/install-packages $(APT_PACKAGES)
	@touch $@

.venv/ready: Makefile .make/apt
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check $(PY_PACKAGES)
	@touch $@

.make/apt-checkers: Makefile .make/apt
	@deploy/local/install-packages $(CHECKER_APT)
	@touch $@

.make/apt-peers: Makefile .make/apt
	@deploy/local/install-packages $(PEER_APT)
	@touch $@

.make/apt-micro: Makefile .make/apt
	@deploy/local/install-packages $(MICRO_APT)
	@touch $@

.make/apt-chart: Makefile .make/apt
	@deploy/local/install-packages $(CHART_APT)
	@touch $@

.make/apt-browser: Makefile .make/apt
	@deploy/local/install-packages $(BROWSER_APT)
	@touch $@

.venv-ocsf/ready: Makefile .make/apt
	@test -x .venv-ocsf/bin/python || $(PYTHON) -m venv .venv-ocsf
	@.venv-ocsf/bin/python -m pip install --quiet --disable-pip-version-check $(OCSF_PACKAGES)
	@touch $@

.venv-ocsf-models/ready: Makefile .make/apt
	@test -x .venv-ocsf-models/bin/python || $(PYTHON) -m venv .venv-ocsf-models
	@.venv-ocsf-models/bin/python -m pip install --quiet --disable-pip-version-check $(OCSF_MODELS_PACKAGES)
	@touch $@

build: .make/apt ## Debug build
	$(SWIFT) build

release: $(BINARY) ## Optimized build

# Warnings about mktemp come from the linker and concern Swift's own Foundation.
$(BINARY): .make/apt $(SWIFT_SOURCES)
	$(SWIFT) build -c release --static-swift-stdlib --product sidereal-export --scratch-path $(RELEASE_DIR)
	@touch $@

run: $(BINARY) ## Export COUNT (10000) synthetic results to HEC, Elasticsearch and a file on this machine
	@deploy/local/demo $(BINARY) $(COUNT)

# First what the others need, as many at once as wait for each other: compilers come to their last file alone.
# Tests of processes, sockets and real time-outs wait for somebody most of their time, and notice nothing of what computes
# beside them in the processor time that they leave. Nothing is installed or fetched then: two cannot do that at once.
test: ## All tests: style, unit, simulated clusters, other parsers, the Helm chart, real sockets, TLS and kill -9
	@$(MAKE) --no-print-directory -j3 lint kube-assets prepared
	@Tests/beside '$(MAKE) --no-print-directory end-to-end' \
		'$(MAKE) --no-print-directory -j2 --output-sync=target unit-computed checkers chart'
	@Tests/beside '$(MAKE) --no-print-directory unit-timed' '$(MAKE) --no-print-directory simulate simulate-plants simulate-feed'

prepared: $(BINARY) $(INSTALLED)

lint: .venv/ready ## Formatting of the Swift, mistakes and types of the Python, as a check
	$(SWIFT) format lint --strict --recursive Sources Tests benchmarks Package.swift
	.venv/bin/ruff check --quiet .
	cd Tests/EndToEnd && ../../.venv/bin/mypy --no-error-summary . ../../deploy/local/clustertools
	cd Tests/Chart && ../../.venv/bin/mypy --no-error-summary .
	cd benchmarks && ../.venv/bin/mypy --no-error-summary bench macro members.py
	cd benchmarks && ../.venv/bin/mypy --no-error-summary micro-check

format: ## Formatting, applied
	$(SWIFT) format --in-place --recursive Sources Tests benchmarks Package.swift

# Tests of sockets, threads and real time-outs: among others that compute for minutes on two cores they would measure the
# machine, so they are alone in their scheduling class, in streams that take about as long as each other.
TIMED_STREAMS := KubernetesAPITests BackendsTests|CoordinatorTests|HTTPClientTests|StatusEndpointTests \
	PeerTransportTests|ShardWorkerTests
SPACE := $(subst ,, )
TIMED_TESTS := ^($(subst $(SPACE),|,$(strip $(TIMED_STREAMS))))\.

unit: unit-computed unit-timed ## Unit, property and simulation tests

unit-computed: .make/apt
	$(SWIFT) test --skip '$(TIMED_TESTS)'

unit-timed: .make/apt kube-assets
	@export KUBEBUILDER_ASSETS="$$(deploy/local/kube-assets)"; \
	$(SWIFT) build --build-tests && Tests/timed $(SWIFT) $(foreach stream,$(TIMED_STREAMS),'$(stream)')

simulate: $(SIMULATE) ## SEEDS (1000) histories of a simulated cluster with every kind of fault, or one: SEED=n
	@$(SIMULATE) $(if $(SEED),--seed $(SEED),--seeds $(SEEDS) --from $(FROM))

simulate-plants: $(SIMULATE) ## Planted mistakes, each of which the simulation must find
	@$(SIMULATE) --plants --seeds $(PLANT_SEEDS)

simulate-scale: $(SIMULATE) ## What up to 1 000 workers move and how they are loaded, in 10^8 results
	@$(SIMULATE) --scale

simulate-feed: $(SIMULATE) ## 100 000 results through a leader's reader, one target failing: each handed over once, none kept beyond its bound
	@$(SIMULATE) --feed --results 100000

bench-feed: $(SIMULATE) ## Memory of what reads 10 000 000 results of an API server, one target failing: each handed over once, with a goal
	@$(SIMULATE) --feed

$(SIMULATE): $(BINARY) $(SIMULATION_SOURCES)
	$(SWIFT) build -c release --static-swift-stdlib --product simulate --scratch-path $(RELEASE_DIR)
	@touch $@

# The tests' API servers collect their garbage less often than where memory is scarce; benchmarks' are left as they are.
end-to-end unit-timed chart: export GOGC := 400

end-to-end: $(BINARY) .venv/ready .make/apt-peers .make/apt-browser .make/apt-chart kube-assets ## The built program against look-alikes, TLS servers, full disks and kill -9
	SIDEREAL_EXPORT="$(abspath $(BINARY))" .venv/bin/python -m pytest -q -rs -p no:cacheprovider -n $(PROCESSES) --dist loadfile \
		--no-loadscope-reorder --durations=15 Tests/EndToEnd

kube-assets: .make/apt ## A kube-apiserver and etcd for the tests: KUBEBUILDER_ASSETS, or built once from Debian's source
	@deploy/local/kube-assets >/dev/null

chart: $(BINARY) .venv/ready .make/apt-chart kube-assets ## The Helm chart: values held against the program, manifests against an API server, policies
	@test -z "$$(gofmt -l Tests/Chart/renderer)" || { gofmt -d Tests/Chart/renderer; exit 1; }
	SIDEREAL_EXPORT="$(abspath $(BINARY))" .venv/bin/python -m pytest -q -rs -p no:cacheprovider Tests/Chart

image-check: $(BINARY) .venv/ready ## Minutes: the commands of deploy/Dockerfile, run twice as they stand, must leave the same bytes (PARTS="build base")
	@deploy/local/install-packages mmdebstrap
	@SIDEREAL_EXPORT="$(abspath $(BINARY))" .venv/bin/python Tests/Chart/image_check.py $(PARTS)

checkers: $(BINARY) .make/apt-checkers .venv-ocsf/ready .venv-ocsf-models/ready ## The formats before other people's parsers
	@$(PYTHON) Tests/Checkers/run $(abspath $(BINARY))

fuzz: .make/apt ## FUZZ_CASES (1000000) hostile and damaged records through every encoder, and as many frames
	SIDEREAL_FUZZ_CASES=$(FUZZ_CASES) $(SWIFT) test -c release -Xswiftc -enable-testing --scratch-path $(RELEASE_DIR)-tests --filter 'FormatFuzzTests|ProtocolFuzzTests'

# Compiled without the package manager: the modules under test are instrumented, and nothing else.
FUZZ_DIR := .build-fuzz
FUZZ_SECONDS ?= 600
FUZZ_FLAGS := -O -wmo -parse-as-library -sanitize=fuzzer -enable-testing -swift-version 6 -I $(FUZZ_DIR) \
	-enable-experimental-feature Lifetimes -enable-upcoming-feature MemberImportVisibility \
	-enable-upcoming-feature InternalImportsByDefault -enable-upcoming-feature ExistentialAny
FUZZ_GRAMMARS := $(wildcard Tests/FormatsTests/LineGrammar.swift Tests/FormatsTests/LineGrammar+*.swift)
FUZZ_MESSAGES := Tests/ProtocolTests/Mending.swift

fuzz-coverage: $(FUZZ_DIR)/fuzz-formats $(FUZZ_DIR)/fuzz-protocol ## The same under libFuzzer for FUZZ_SECONDS (600): formats, then frames
	@mkdir -p $(FUZZ_DIR)/corpus
	@cd $(FUZZ_DIR)/corpus && cat $(abspath Tests/FormatsTests/Golden)/*records*.ndjson | split -l 1 -a 3 - golden-
	cd $(FUZZ_DIR) && ./fuzz-formats -max_total_time=$(FUZZ_SECONDS) -max_len=16384 -timeout=10 -print_final_stats=1 \
		-dict=$(abspath Tests/FormatsFuzz/record.dict) corpus
	@mkdir -p $(FUZZ_DIR)/frames
	@$(FUZZ_FRAMES) Sources/Protocol/PROTOCOL.md | while read -r name bytes; do printf "$$bytes" > $(FUZZ_DIR)/frames/golden-$$name; done
	cd $(FUZZ_DIR) && ./fuzz-protocol -max_total_time=$(FUZZ_SECONDS) -max_len=8192 -timeout=10 -print_final_stats=1 frames

# The vectors of PROTOCOL.md, one a line: its name and its bytes as printf takes them.
FUZZ_FRAMES = awk '/^```/ {if (on) print name, text; on = ($$1 == "```hex"); name = $$2; text = ""; next} \
	on {sub(/\|.*/, ""); gsub(/ /, ""); gsub(/../, "\\x&"); text = text $$0}'

$(FUZZ_DIR)/fuzz-formats: $(shell find Sources/Model Sources/Formats Tests/FormatsFuzz -name '*.swift') $(FUZZ_GRAMMARS)
	@mkdir -p $(FUZZ_DIR)
	$(SWIFT)c $(FUZZ_FLAGS) -module-name Model -emit-module-path $(FUZZ_DIR)/Model.swiftmodule \
		-c $(filter Sources/Model/%,$^) -o $(FUZZ_DIR)/Model.o
	$(SWIFT)c $(FUZZ_FLAGS) -module-name Formats -emit-module-path $(FUZZ_DIR)/Formats.swiftmodule \
		-c $(filter Sources/Formats/%,$^) -o $(FUZZ_DIR)/Formats.o
	$(SWIFT)c $(FUZZ_FLAGS) -module-name FuzzFormats $(filter Tests/%,$^) $(FUZZ_DIR)/Model.o $(FUZZ_DIR)/Formats.o -o $@

$(FUZZ_DIR)/fuzz-protocol: $(shell find Sources/Model Sources/Protocol Sources/CISAL Tests/ProtocolFuzz -type f) $(FUZZ_MESSAGES)
	@mkdir -p $(FUZZ_DIR)
	$(SWIFT)c $(FUZZ_FLAGS) -module-name Model -emit-module-path $(FUZZ_DIR)/Model.swiftmodule \
		-c $(filter Sources/Model/%.swift,$^) -o $(FUZZ_DIR)/Model.o
	$(SWIFT)c $(FUZZ_FLAGS) -I Sources/CISAL -module-name Protocol -emit-module-path $(FUZZ_DIR)/Protocol.swiftmodule \
		-c $(filter Sources/Protocol/%.swift,$^) -o $(FUZZ_DIR)/Protocol.o
	$(SWIFT)c $(FUZZ_FLAGS) -I Sources/CISAL -module-name FuzzProtocol $(filter Tests/%.swift,$^) $(FUZZ_DIR)/Model.o $(FUZZ_DIR)/Protocol.o -o $@

soak: $(BINARY) .venv/ready .make/apt-peers ## SECONDS (300) of resets, refusals, poison, an outage and rotations on every backend
	SOAK_SECONDS=$(SECONDS) SIDEREAL_EXPORT="$(abspath $(BINARY))" .venv/bin/python -m pytest -q -s -p no:cacheprovider Tests/EndToEnd/test_soak.py

cluster: $(BINARY) ## 3 coordinators, 4 workers, receivers and a generator on this machine; shows the page's address
	@deploy/local/cluster $(BINARY)

cluster-chaos: $(BINARY) ## SECONDS (300) of kills, stops, cut links and outages in that cluster, then the oracle's count
	@deploy/local/cluster $(BINARY) --chaos $(SECONDS)

acceptance: $(BINARY) .venv/ready .make/apt-peers ## The long proofs: 20 kills over 100 000 results, an outage of a minute
	SIDEREAL_EXPORT="$(abspath $(BINARY))" .venv/bin/python -m pytest -q -s -p no:cacheprovider Tests/EndToEnd -m acceptance

bench: $(BINARY) ## What a result costs in one process and in clusters, at every backend: figures, goals and a chart in .artefacts (BENCH=--help)
	@mkdir -p .artefacts
	@benchmarks/bench table $(BINARY) --json .artefacts/bench.json --svg .artefacts/bench.svg --markdown .artefacts/bench.md $(BENCH)

bench-capacity: $(BINARY) ## The highest steady rate that a cluster of two workers holds, and what a rate needs (BENCH=--help)
	@benchmarks/bench capacity $(BINARY) $(BENCH)

bench-peers: $(BINARY) .make/syslog-ng/ready ## The same file through syslog-ng and rsyslog, and Fluent Bit and Vector if they are there (BENCH=--help)
	@benchmarks/bench peers $(BINARY) $(BENCH)

bench-sweep: $(BINARY) ## How the cost grows with size, batches, targets, workers, and 10 000 000 results that wait (BENCH=--help)
	@benchmarks/bench sweep $(BINARY) $(BENCH)

# Debian installs only one of rsyslog and syslog-ng: this one is unpacked, and only what it needs is installed.
.make/syslog-ng/ready: Makefile .make/apt
	@deploy/local/install-packages $(RIVAL_APT)
	@rm -rf .make/syslog-ng && mkdir -p .make/syslog-ng
	@cd .make/syslog-ng && download="apt-get download -qq -o APT::Sandbox::User=root $(UNPACKED_APT)" && \
		{ $$download 2>/dev/null || { apt-get update -qq && $$download; }; } && \
		for package in *.deb; do dpkg -x "$$package" .; done && rm -f -- *.deb
	@touch $@

bench-cluster: $(BINARY) ## What the cluster costs against the single process, how long it stands still, the coordinator's memory; all with goals
	@failed=0; benchmarks/bench table $(BINARY) --only '^elasticsearch, gzip($$|, . worker)' --steady-seconds 0 --count 500000 --warm-up 200000 $(BENCH) || failed=1; \
	for bench in hand-over coordinator-memory; do benchmarks/$$bench $(BINARY) || failed=1; done; exit $$failed

bench-coordinator: $(BINARY) ## Memory of a coordinator with 10 000 000 results pending, CPU seconds per million results
	@benchmarks/coordinator-memory $(BINARY)

bench-kubernetes: $(BINARY) .venv/ready .make/apt-chart kube-assets ## Results in a real API server: until Exported, patches against a bare client's, requests, memory at 100 000; with goals
	@.venv/bin/python benchmarks/kubernetes $(BINARY)

# Built by a package of its own, which needs a benchmark library that the exporter does not.
MICRO_DIR := $(abspath .build-micro)

bench-micro: .make/apt ## Nanoseconds and allocations per record of reader, encoders, frames, ledger, signatures, gzip
	@$(SWIFT) package -c release --package-path benchmarks --scratch-path $(MICRO_DIR) benchmark run --target Micro --no-progress

bench-check: $(MICRO_DIR)/release/count-instructions ## Allocations and instructions per record against what is committed; fails when one is worse
	@SWIFT="$(SWIFT)" benchmarks/micro-check --build $(MICRO_DIR)

bench-accept: $(MICRO_DIR)/release/count-instructions ## The same, and what is measured becomes what is committed
	@SWIFT="$(SWIFT)" benchmarks/micro-check --build $(MICRO_DIR) --accept

# Debian 12's valgrind does not understand this compiler's debugging information; functions keep their names without it.
$(MICRO_DIR)/release/count-instructions: FORCE .make/apt-micro
	$(SWIFT) build -c release --package-path benchmarks --scratch-path $(MICRO_DIR) --product count-instructions \
		-Xlinker --strip-debug

FORCE:

bench-transport: .make/apt ## Bytes per second and CPU seconds per gigabyte between coordinator and worker, plain and over TLS
	@$(SWIFT) build -c release --static-swift-stdlib --product peer-bench --scratch-path $(RELEASE_DIR)
	@directory=$$(mktemp -d) && trap 'rm -rf "$$directory"' EXIT && deploy/local/peer-certificates "$$directory" && \
		$(RELEASE_DIR)/release/peer-bench "$$directory"

clean: ## Remove what was built
	rm -rf .build .build-release .build-release-tests .build-fuzz .build-micro .make .venv .venv-ocsf .venv-ocsf-models .artefacts
