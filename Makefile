# The two commands that everybody needs: `make run` shows Weir at work, `make test` proves it.
SHELL := /bin/sh
CARGO ?= cargo
weir := target/release/weir
# `make test NEEDS=skip` does not look for what the tests need beyond Rust; tests that lack it fail.
NEEDS ?= install
# The tests of the whole take the program that cargo has just built for those of the command line.
built := $(abspath $(or $(CARGO_TARGET_DIR),target))/debug/weir

.PHONY: run test dist bench lab lab-up lab-down

# Builds Weir and runs a flow in a home that is thrown away: a real name server where bind9 is installed, else the tour.
run:
	$(CARGO) build --release -p weir
	WEIR=$(weir) scripts/run-a-flow

test:
	@[ "$(NEEDS)" = skip ] || scripts/install-test-needs
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	WEIR_BIN=$(built) $(CARGO) test --workspace --no-fail-fast
	@if command -v cargo-deny >/dev/null 2>&1; then $(CARGO) deny --offline check bans licenses sources; \
	else echo "cargo-deny is not here: licences and banned crates were not checked"; fi

# The one file that is shipped, made small: target/dist/weir. Takes some 12 minutes on two cores.
dist:
	$(CARGO) build --profile dist -p weir

# What takes real servers of some size, or real minutes: the rest of the proof on the lab of hosts. Needs root.
lab:
	@[ "$(NEEDS)" = skip ] || scripts/install-test-needs
	$(CARGO) test --workspace --test it lab_ -- --include-ignored --test-threads 1

# Hosts to try the shipped flows on, made of network namespaces: see docs/lab.md. Needs root. HOSTS is a number or names.
HOSTS ?= 12
lab-up:
	@[ "$(NEEDS)" = skip ] || scripts/install-test-needs
	tests/lab/up $(HOSTS)
	@echo "The hosts are up. See docs/lab.md for what to do with them; make lab-down ends them."

lab-down:
	tests/lab/down --purge

# Measures Weir against its floors in rotating rounds of one run: ratios, for docs/performance.md. Wants a quiet machine;
# BENCH_DIR is where all of it writes, best on a disk of its own. ninja is compared with where it is installed; what is
# measured on hosts needs root, ssh and sshd.
BENCH_DIR ?= /tmp
bench:
	$(CARGO) build --release -p weir
	$(CARGO) build --release -p weir-core -p weir-engine -p weir-tests --examples
	target/release/examples/step_floor
	target/release/examples/spawn_floor $(BENCH_DIR)
	target/release/examples/store_floor $(BENCH_DIR)
	target/release/examples/engine_floor $(BENCH_DIR)
	target/release/examples/schedule_floor $(BENCH_DIR)
	TMPDIR=$(BENCH_DIR) target/release/examples/web_floor
	target/release/examples/ssh_floor $(BENCH_DIR)
