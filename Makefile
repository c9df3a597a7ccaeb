# The commands of this project; `make help` lists them. CI runs the same ones.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
# CARGOFLAGS=--locked in CI: the build is refused if Cargo.lock would change.
CARGOFLAGS ?=
TESTS ?=
PART ?=
ARGS ?=
SMOKE ?=
# What the tests issue; `make pkilint` looks at it.
OBJECTS := $(abspath $(or $(CARGO_TARGET_DIR),target))/objects
# Most of them wait for the disk and for processes.
THREADS := $(shell echo $$((2 * $$(nproc))))
# What they say; `make conformance RESULTS=` takes it instead of running the rows' tests again.
RESULTS ?=

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
	@$(MAKE) --no-print-directory kryoptic
	rm -rf $(OBJECTS)
	CHANCERY_TEST_OBJECTS=$(OBJECTS) RUST_TEST_THREADS=$(THREADS) \
		cargo test --workspace --no-fail-fast $(CARGOFLAGS) -- $(TESTS) | tee $(RESULTS)

.PHONY: crash
crash: ## Kill the service ROUNDS times (20): nothing acknowledged is lost, nothing signed is unnamed; SEED plays it again
	@scripts/deps build demo test
	cargo build --workspace $(CARGOFLAGS)
	ROUNDS=$${ROUNDS:-20} cargo test --test it $(CARGOFLAGS) -- --nocapture crash::

.PHONY: controls
controls: ## Take each safeguard away: every test that is about one must fail, and for that reason
	@scripts/deps build demo test
	cargo build --workspace $(CARGOFLAGS)
	@CARGOFLAGS="$(CARGOFLAGS)" scripts/controls

.PHONY: kryoptic
kryoptic: ## Build Kryoptic, the second PKCS#11 module of the tests (its first build takes minutes)
	@scripts/deps build test
	cargo build --manifest-path tests/kryoptic/Cargo.toml --target-dir target/kryoptic $(CARGOFLAGS)

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

.PHONY: pkilint
pkilint: ## Hold every certificate and CRL that `make test` and `make rehearse` left against pkilint's rules of RFC 5280
	@scripts/deps lint
	@scripts/pkilint

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

.PHONY: powercut
powercut: ## Cut the power of a running instance's disk ROUNDS times (20), on ext4 and xfs, and let it fail (root)
	@scripts/deps build demo test storage
	cargo build --workspace $(CARGOFLAGS)
	@CARGOFLAGS="$(CARGOFLAGS)" ROUNDS=$${ROUNDS:-20} scripts/powercut

.PHONY: bench
bench: ## Measure the appliance against its limits (PART=raw, enrol, network, peer, ledger, growth or overload); target/bench/report.md
	@scripts/deps build demo test bench
	cargo build --release -p p11shim $(CARGOFLAGS)
	cargo bench --bench speed $(CARGOFLAGS) -- $(PART)

.PHONY: bench-smoke
bench-smoke: ## A minute of the same in the development build; fails on errors alone
	@scripts/deps build demo test
	cargo build -p p11shim $(CARGOFLAGS)
	cargo bench --profile dev --bench speed $(CARGOFLAGS) -- --smoke

.PHONY: timing
timing: ## Does the time of an answer tell what was wrong with an envelope? SMOKE=1 takes a minute and finds only gross differences
	@scripts/deps build demo test bench
	cargo bench --bench speed --features controls $(if $(SMOKE),--profile dev) $(CARGOFLAGS) -- timing $(if $(SMOKE),--smoke)

.PHONY: units
units: ## Check systemd's units: without a fault, and exposed no more than their limits
	@scripts/deps units
	@scripts/units

.PHONY: deb
deb: ## Build the Debian package into target/package; lintian has nothing to say about it
	@scripts/deps build package
	@scripts/deb
	@lintian --fail-on error,warning target/package/chancery_*.deb

.PHONY: rpm
rpm: ## Build the rpm into target/package, on Debian; rpmlint has nothing to say about it
	@scripts/deps build package
	@scripts/rpm
	@rpmlint --strict --rpmlintrc packaging/rpm/rpmlintrc target/package/chancery-*.rpm

.PHONY: reproducible
reproducible: ## Pack twice in two folders and compare; ARGS=--compile compiles twice, too (minutes)
	@scripts/deps build package
	@scripts/reproducible $(ARGS)

.PHONY: install-test
install-test: ## Take the packages through their life in booted Debian containers (root, systemd-nspawn)
	@scripts/deps build package nspawn demo
	cargo build -p softhsm-test $(CARGOFLAGS)
	@scripts/install-test

.PHONY: fresh
fresh: ## What the README promises, on a fresh Debian RELEASE (trixie): make TARGETS ("demo demo") in a container (root)
	@scripts/deps nspawn
	@scripts/fresh

.PHONY: fuzz
fuzz: ## Run every fuzz target for SECONDS_EACH seconds (60)
	@scripts/deps build
	@CARGOFLAGS="$(CARGOFLAGS)" SECONDS_EACH=$${SECONDS_EACH:-60} scripts/fuzz

.PHONY: clean
clean: ## Remove what was built and what the demo left
	cargo clean
