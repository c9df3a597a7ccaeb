# The commands of this project; `make help` lists them. CI runs the same ones.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
# CARGOFLAGS=--locked in CI: the build is refused if Cargo.lock would change.
CARGOFLAGS ?=
TESTS ?=
PART ?=

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: deps
deps: ## Install what building and testing need (apt-get, as root or by sudo)
	@scripts/deps build demo test

.PHONY: build
build: ## Build the binaries into target/debug
	@scripts/deps build
	cargo build --workspace $(CARGOFLAGS)

.PHONY: demo
demo: ## A CA in SoftHSM, a device enrolled by strongSwan; Ctrl-C ends it
	@scripts/deps build demo
	cargo build --workspace $(CARGOFLAGS)
	@scripts/demo

.PHONY: test
test: ## Run all tests (TESTS=name runs those with the name)
	@scripts/deps build demo test
	cargo build --workspace $(CARGOFLAGS)
	cargo test --workspace $(CARGOFLAGS) -- $(TESTS)

.PHONY: check
check: ## The quick loop: formatting, lints, unit tests and documentation, without a warning
	@scripts/deps build test
	cargo fmt --all --check
	cargo clippy --workspace --all-targets $(CARGOFLAGS) -- -D warnings
	cargo test --workspace --lib --bins $(CARGOFLAGS)
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items $(CARGOFLAGS)

.PHONY: conformance
conformance: ## A verdict for each row of docs/scep.md against the running binary
	@scripts/deps build demo test
	cargo build --workspace $(CARGOFLAGS)
	@CARGOFLAGS="$(CARGOFLAGS)" scripts/conformance

.PHONY: audit
audit: ## Licences, sources, bans and advisories of the dependencies
	@scripts/audit

.PHONY: alerts
alerts: ## Check alert rules and metrics with Prometheus' promtool
	@scripts/deps build demo
	cargo build --workspace $(CARGOFLAGS)
	@scripts/alerts

.PHONY: examples
examples: ## Run the commands of the files in examples/ci
	@scripts/deps build demo
	@scripts/run-examples

.PHONY: rehearse
rehearse: ## Rehearse every ceremony of examples/ceremonies on SoftHSM and verify what it leaves
	@scripts/deps build test
	cargo build $(CARGOFLAGS)
	@scripts/rehearse

.PHONY: bench
bench: ## Measure the appliance against its limits (PART=raw, enrol, peer, growth or overload); target/bench/report.md
	@scripts/deps build demo test bench
	cargo bench --bench speed $(CARGOFLAGS) -- $(PART)

.PHONY: bench-smoke
bench-smoke: ## A minute of the same in the development build; fails on errors alone
	@scripts/deps build demo test
	cargo bench --profile dev --bench speed $(CARGOFLAGS) -- --smoke

.PHONY: units
units: ## Check systemd's units: without a fault, and exposed no more than their limits
	@scripts/deps units
	@scripts/units

.PHONY: deb
deb: ## Build the Debian package into target/package; lintian has nothing to say about it
	@scripts/deps build package
	@scripts/deb
	@lintian --fail-on error,warning target/package/chancery_*.deb

.PHONY: install-test
install-test: deb ## Take the package through its life in a booted Debian container (root, systemd-nspawn)
	@scripts/deps nspawn
	@scripts/install-test
.PHONY: fuzz
fuzz: ## Run every fuzz target for SECONDS_EACH seconds (60)
	@scripts/deps build
	@CARGOFLAGS="$(CARGOFLAGS)" SECONDS_EACH=$${SECONDS_EACH:-60} scripts/fuzz

.PHONY: clean
clean: ## Remove what was built and what the demo left
	cargo clean
