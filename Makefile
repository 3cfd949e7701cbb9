# Spoolship's tasks. Each runs on a bare Debian with Go, git and make.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  = -s -w -X main.version=$(VERSION)
GOLANGCI = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
NFPM     = $(GO) run github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.0

# The Go of a distribution may be older than go.mod wants, and says so in riddles.
ifneq ($(MAKECMDGOALS),clean)
GO_WANTED := $(shell sed -n 's/^go \([0-9.]*\)$$/\1/p' go.mod)
GO_FOUND  := $(shell { $(GO) version || GOTOOLCHAIN=local $(GO) version; } 2>/dev/null | sed -n 's/.*go\([0-9][0-9.]*\).*/\1/p')
ifneq ($(and $(GO_FOUND),$(firstword $(shell printf '%s\n' $(GO_WANTED) $(GO_FOUND) | sort -V))),$(GO_WANTED))
define GO_MISSING
Go $(GO_WANTED) or later is needed; "$(GO)" is $(if $(GO_FOUND),version $(GO_FOUND),not found).
Get it from https://go.dev/dl/ and put its bin directory first in PATH, or name it: make GO=/usr/local/go/bin/go
Go 1.21 and later can fetch it themselves: GOTOOLCHAIN=auto make
endef
$(error $(GO_MISSING))
endif
endif

# How long and how hard; for example: make crash N=200 SEED=7
N      ?= 50
SEED   ?= 1
STORE  ?= both
HISTORIES ?= 20000
LENGTH ?= 4
SLACK  ?= 1
SIZE   ?= 1GiB
RUNS   ?= 5
PARTS  ?=
BASE   ?= HEAD
SECONDS ?= 12
QUEUES ?= 100000

.PHONY: build test lint demo crash bench e2e soak clean

build: ## bin/spoolship, static
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/spoolship ./cmd/spoolship

test: ## every quick test, with the race detector
	@command -v $(firstword $(CC)) >/dev/null || { echo 'The race detector needs a C compiler. Install one: apt install gcc' >&2; exit 1; }
	$(GO) test -race -timeout 10m ./...
	cd internal/e2e && $(GO) test -race -timeout 10m ./...

.PHONY: cross
cross: ## build and vet for other systems, a line for each
	GO='$(GO)' packaging/cross

lint: ## formatting, vet, linters, import arrows
	$(GO) run $(GOLANGCI) run ./...
	cd internal/e2e && $(GO) run $(GOLANGCI) run --build-tags e2e,packagetest --config ../../.golangci.yml ./...

# What follows runs the real binary against real S3 servers on loopback.

harness: build
	$(GO) build -trimpath -tags failpoint -ldflags '$(LDFLAGS)' -o bin/spoolship-failpoint ./cmd/spoolship
	cd internal/e2e && $(GO) build -trimpath -o ../../bin/spoolship-e2e ./cmd/spoolship-e2e
.PHONY: harness

# The second, independent S3 server; its version is pinned in internal/e2e/go.mod.
bin/versitygw: internal/e2e/go.mod
	cd internal/e2e && $(GO) build -trimpath -o ../../bin/versitygw github.com/versity/versitygw/cmd/versitygw

demo: harness ## ship this machine's logs, kill the agent on the way, compare every line
	bin/spoolship-e2e demo

crash: harness bin/versitygw ## N random crash trials
	bin/spoolship-e2e crash -n $(N) -seed $(SEED) -store $(STORE)

bench: harness ## every figure beside its goal; PARTS=backfill,idle for some of them
	bin/spoolship-e2e bench -size $(SIZE) -runs $(RUNS) $(if $(PARTS),-parts $(PARTS)) -json bench.json

.PHONY: bench-docs bench-compare
bench-docs: harness ## measure everything and renew docs/performance.md
	bin/spoolship-e2e bench -size $(SIZE) -runs $(RUNS) -parts all -later -outage 10GiB -open 5GiB -json bench.json -markdown docs/performance.md -svg docs

bench-compare: harness ## the backfills against another commit: BASE=main~1
	bin/spoolship-e2e compare -base $(BASE) -json bin/bench-compare.json

e2e: harness ## the binary as a service, and on everything that can happen to a file: a line per row
	cd internal/e2e && $(GO) test -count=1 -timeout 10m -tags e2e $$($(GO) list -tags e2e ./... | grep -v '/matrix$$\|/hostile$$\|/power$$\|/conformance$$\|/query$$\|/outage$$')
	cd internal/e2e/matrix && $(GO) test -count=1 -timeout 10m -parallel 4 -tags e2e

.PHONY: hostile
hostile: harness ## whoever is hostile, refused, odd or merely many: a line per input
	cd internal/e2e/hostile && $(GO) test -count=1 -timeout 20m -tags e2e

.PHONY: power
power: harness ## power cuts and bad disks under the agent, a line per fault; N trials of each, or two minutes' worth; needs root and FUSE
	cd internal/e2e/power && POWER_N=$(if $(filter command,$(firstword $(origin N))),$(N)) POWER_SEED=$(SEED) $(GO) test -count=1 -timeout 4h -tags e2e

.PHONY: fleet
fleet: harness ## an audit of QUEUES hosts with a hundred chunks each: seconds and MiB
	cd internal/e2e/fleet && QUEUES=$(QUEUES) $(GO) test -count=1 -timeout 20m -tags e2e

.PHONY: s3 query
s3: query bin/versitygw ## the sink on independent S3 servers, a line per server and case; then make query
	cd internal/e2e/conformance && $(GO) test -count=1 -timeout 5m -tags e2e

query: build bin/versitygw bin/duckdb ## DuckDB reads what the agent shipped, with the statements of docs/query.md
	cd internal/e2e/query && $(GO) test -count=1 -timeout 5m -tags e2e

# DuckDB for Node, pinned by the lock file. Where npm is missing, the test says so.
bin/duckdb: internal/e2e/query/package-lock.json
	rm -rf $@ && mkdir -p $@
	cp internal/e2e/query/package*.json $@
	if command -v npm >/dev/null; then npm ci --prefix $@ --no-audit --no-fund; else echo 'skipped: npm is missing'; fi

.PHONY: outage
outage: harness ## the store fails in five ways for SECONDS each, at 20,000 lines/s: a line per way
	cd internal/e2e/outage && OUTAGE_SECONDS=$(SECONDS) $(GO) test -count=1 -timeout 2h -tags e2e

soak: ## HISTORIES (or N) random lives of a log file, about 120 a second
	$(GO) test ./tailer -run TestHistories -rapid.checks=$(if $(filter command,$(firstword $(origin N))),$(N),$(HISTORIES)) -rapid.seed=$(SEED) -timeout 60m

.PHONY: worlds
worlds: ## every history of a log of up to LENGTH operations, and twins of those that fail: a line per file system
	$(GO) test ./tailer/rotation -v -count=1 -timeout 60m -args -length $(LENGTH) -slack $(SLACK) -long $(HISTORIES)

.PHONY: package
package: ## deb, rpm and tar.gz for amd64 and arm64 in dist/
	rm -rf dist
	GO='$(GO)' NFPM='$(NFPM)' VERSION='$(VERSION)' packaging/build

.PHONY: package-test
package-test: package bin/versitygw ## the packages' lives, of the deb in a booted Debian, a line per step; needs root
	mv dist/SHA256SUMS bin/
	$(MAKE) package >/dev/null
	cmp bin/SHA256SUMS dist/SHA256SUMS && echo "built twice: the same bytes"
	GO='$(GO)' packaging/test

.PHONY: alerts
alerts: ## the alert rules and the dashboard, tested by Prometheus' own tool and parser
	packaging/prometheus/test
	cd internal/e2e && $(GO) test -count=1 -tags e2e ./telemetry

clean:
	rm -rf bin dist bench.json
