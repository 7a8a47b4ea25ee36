# topupd. `make` alone lists the targets. Building and the demo need Go and
# nothing else; `make test` brings what it needs (PostgreSQL, promtool,
# systemd-analyze) with apt when it is missing.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# The version comes from above, and a checkout that belongs to another user (a
# container, CI) would stop a build that asks git. Tests build the program too.
export GOFLAGS := $(GOFLAGS) -buildvcs=false
BUILD    = CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)"
# Where the people on call read docs/: the base of every runbook_url. After a
# change: make runbooks.
DOCS ?= https://example.com/topupd/docs
PLATFORMS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64

# Modules of their own keep heavy test-only libraries out of the daemon's graph.
NESTED = deploy/deploytest

# What `make test` passes to go test. The timeout is per package. -count=1: a
# remembered result knows nothing of the built program, the files outside the
# module or the database that a test looked at.
TESTFLAGS ?= -race -count=1 -timeout=60m
# Not raced there: a simulation makes one step at a time, and the detector makes
# it twenty times slower. `make race` races it.
export UNRACED ?= topupd/internal/sim
# One package or more, for `make test PKG=./ledger/...`; empty means everything.
PKG ?=

GOLANGCI_LINT_VERSION = v2.15.0
GOTESTSUM_VERSION     = v1.13.0
TOOLS         = bin/tools
GOLANGCI_LINT = $(TOOLS)/golangci-lint-$(GOLANGCI_LINT_VERSION)
GOTESTSUM     = $(TOOLS)/gotestsum-$(GOTESTSUM_VERSION)

.DEFAULT_GOAL = help
.PHONY: help build demo test unit race e2e soak sim kills restores fuzz mutants bench lint fmt verify runbooks migrate release clean tools test-tools

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

build: ## build ./bin/topupd, one static program
	@$(BUILD) -o bin/topupd ./cmd/topupd

demo: build ## run the demo: emulated providers, SQLite, nothing installed
	@./bin/topupd demo

test: $(GOTESTSUM) test-tools ## run every test with the race detector, in every module
	@GO="$(GO)" scripts/test-postgres $(GOTESTSUM) --format=pkgname --format-hide-empty-pkg --raw-command -- scripts/test-json "$(TESTFLAGS)" $(if $(PKG),$(PKG),./... $(NESTED))

unit: ## run the tests that need Go only (no PostgreSQL, no programs)
	@$(GO) test $$($(GO) list ./... | grep -v -e '/ledger' -e '/e2e')

race: ## run the concurrent packages three times, the simulation and the real program, with the race detector
	@scripts/test-postgres $(GO) test -race -count=3 ./topup/... ./ledger/... ./scheduler/...
	@$(GO) test -race -count=1 -timeout=30m ./internal/sim
	@TOPUPD_E2E_RACE=1 scripts/test-postgres $(GO) test -count=1 -timeout=15m -run='TestTwo|TestStopping|TestSoak|TestAPause' ./e2e

e2e: ## run the tests of the real program
	@scripts/test-postgres $(GO) test -timeout=15m ./e2e/...

soak: ## ten minutes, 1,000 customers, every fault at 5 %, on both databases
	@TOPUPD_SOAK_SECONDS=600 TOPUPD_SOAK_CUSTOMERS=1000 scripts/test-postgres $(GO) test ./e2e -run='^TestSoak$$' -count=1 -v -timeout=30m

sim: ## simulate random histories, a process for each core (SIM_FOR=10m, SIM_FROM=first seed, ARGS="-sim.weather=storm")
	@GO="$(GO)" scripts/sim $(ARGS)

kills: ## kill -9 the real program 1,000 times on each database (TOPUPD_KILLS, TOPUPD_KILLS_SEED)
	@TOPUPD_KILLS=$${TOPUPD_KILLS:-1000} scripts/test-postgres $(GO) test ./e2e -run='^(TestKills|TestThreeDaemons)$$' -count=1 -v -timeout=90m

restores: ## kill -9, restore and start the real program 100 times on each database (TOPUPD_RESTORES)
	@TOPUPD_RESTORES=$${TOPUPD_RESTORES:-100} scripts/test-postgres $(GO) test ./e2e -run='^TestRestoresAfterKills$$' -count=1 -v -timeout=90m

fuzz: ## fuzz every target (FUZZ_FOR=10m each, FUZZ_PROCS=1 at a time, ARGS=clients/hyperline: those that match)
	@GO="$(GO)" scripts/fuzz $(ARGS)

mutants: ## remove the rules of the money path one by one; every mutant must be killed (ARGS="-run=quiet -all")
	@GOMAXPROCS=$${GOMAXPROCS:-2} scripts/test-postgres nice $(GO) run ./internal/mutants $(ARGS)

bench: ## run the benchmarks
	@scripts/test-postgres $(GO) test -run='^$$' -bench=. -benchmem ./...
	@TOPUPD_SCRAPERS_SECONDS=60 TOPUPD_SCRAPERS_CUSTOMERS=1000 scripts/test-postgres $(GO) test ./e2e -run='^TestManyScrapers' -count=1 -v | grep -e 'purchases a second' -e FAIL -e ^ok

lint: $(GOLANGCI_LINT) ## vet and lint every module
	@for dir in . $(NESTED); do (cd $$dir && $(GO) vet ./... && $(CURDIR)/$(GOLANGCI_LINT) run --config=$(CURDIR)/.golangci.yml ./...) || exit 1; done

fmt: $(GOLANGCI_LINT) ## format every Go file
	@for dir in . $(NESTED); do (cd $$dir && $(CURDIR)/$(GOLANGCI_LINT) fmt --config=$(CURDIR)/.golangci.yml ./...) || exit 1; done

verify: ## check that generated files and go.mod are up to date
	@GO="$(GO)" scripts/verify . $(NESTED)

runbooks: ## put DOCS, where your people read docs/, into the alerts
	@sed -E -i.old 's|(runbook_url: "?)[^#]*/operations.md#|\1$(DOCS)/operations.md#|' deploy/prometheus/alerts.yml deploy/prometheus/alerts_test.yml
	@rm -f deploy/prometheus/*.yml.old

migrate: build ## bring the ledger's schema up to date (ARGS="--config=...")
	@./bin/topupd migrate $(ARGS)

release: ## build dist/: static programs for every platform, with checksums
	@rm -rf dist && mkdir -p dist
	@for p in $(PLATFORMS); do \
		GOOS=$${p%/*} GOARCH=$${p#*/} $(BUILD) -o dist/topupd-$(VERSION)-$${p%/*}-$${p#*/} ./cmd/topupd || exit 1; done
	@cd dist && sha256sum topupd-* > SHA256SUMS && cat SHA256SUMS

clean: ## remove what make built
	@rm -rf bin dist

tools: $(GOLANGCI_LINT) $(GOTESTSUM) test-tools ## install what lint and test need

# promtool checks the alert rules, systemd-analyze the unit, gcc is for -race,
# faketime sets a database's clock.
test-tools:
	@scripts/need gcc gcc libc6-dev
	@scripts/need promtool prometheus prometheus-alertmanager
	@scripts/need systemd-analyze systemd
	@scripts/need faketime faketime

# The version is part of the file name: a new pin installs a new program.
$(GOLANGCI_LINT):
	@scripts/go-tool $@ golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
$(GOTESTSUM):
	@scripts/go-tool $@ gotestsum gotest.tools/gotestsum@$(GOTESTSUM_VERSION)
