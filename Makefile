# SPDX-License-Identifier: MIT OR Apache-2.0
# The only door. Every target is a line or two; what is longer is in scripts/.
# Each installs what it needs first, and is quick about it when nothing is missing.

SHELL  := /bin/bash
CARGO  ?= cargo
TIME   ?= 60
ONLY   ?=
PREFIX ?= /usr/local
LAYERS ?= names,run,mount,image
LIBS   := -p twz-abi -p twz-core -p twz -p twz-derive

export CARGO PREFIX DESTDIR

.DEFAULT_GOAL := help
.PHONY: help run test test-posix test-debug-kernel check bench bench-redis bench-vm fuzz crash miri msrv kmod vm install clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## build and take the tour: two programs, one pool, a name rebound while they run
	@scripts/deps.sh build
	$(CARGO) build --release -p twzd -p twz-posix -p twz-examples
	@scripts/run.sh

test: ## every test there is; the last line says how many passed, failed and were skipped
	@scripts/deps.sh build bench fuzz mount redis
	@scripts/test.sh

test-posix: ## every suite and program on files that are objects, on each of LAYERS (ARGS='--jobs 2' for two suites at a time); counts in target/posix.json
	@scripts/posix.sh --layer $(LAYERS) --json target/posix.json $(ARGS)

test-debug-kernel: ## the tests in the virtual machine, with KASAN, lockdep and all checks on
	@scripts/deps.sh kmod vm
	@scripts/vm-test.sh --debug

check: ## format, clippy and rustdoc with warnings denied, style and layering
	@scripts/deps.sh build bench fuzz
	$(CARGO) fmt --all --check
	@# The module's own files are no crate of the workspace.
	rustfmt --edition 2021 --check kmod/twz.rs
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	@# Built with what is private, for whoever works on it: links there are to be right too.
	RUSTDOCFLAGS='-D warnings -A rustdoc::private_intra_doc_links' $(CARGO) doc --no-deps --document-private-items $(LIBS)
	$(CARGO) test -p twz-tests --test style

bench: ## the race against raw pointers, PMDK and other stores (ONLY=ptr|space|tx|kvs|security|posix for one)
	@scripts/deps.sh build bench
	$(CARGO) run --release -p twz-bench -- $(ONLY)

bench-redis: ## redis-benchmark against twzkvsd and against Debian's redis-server, round by round
	@scripts/deps.sh build redis
	@scripts/bench-redis.sh

fuzz: ## fuzz every structure that comes from outside (TIME=seconds for each, 60)
	@scripts/deps.sh build fuzz
	@scripts/fuzz.sh $(TIME)

crash: ## play power cuts for long: 300 million crash states, broken variants, bit flips, 2,000 kills, 220 plugs
	@scripts/deps.sh build
	$(CARGO) run --release -p twz-crash -- --long --json target/crash.json
	TWZ_LONG=1 $(CARGO) test -p twz-tests --test resume counting
	TWZ_LONG=1 scripts/vm-resume.sh || [[ $$? == 77 ]]
	TWZ_LONG=1 scripts/vm-plug.sh || [[ $$? == 77 ]]

miri: ## run the tests of the pure crates under Miri
	@scripts/deps.sh build
	@scripts/miri.sh

msrv: ## build twz-abi and twz-core as the kernel will: rustc 1.85, core only
	@scripts/deps.sh build
	@scripts/msrv.sh && scripts/msrv.sh --self-test

bench-vm: ## the race of page faults against ext4-DAX and tmpfs, in the virtual machine
	@scripts/deps.sh build vm
	@scripts/vm-bench.sh $(ARGS)

kmod: ## build the kernel module: for KDIR=, or for a cached Debian kernel (SERIES=)
	@scripts/deps.sh kmod
	@scripts/kmod.sh

vm: ## boot that kernel with the module and persistent memory (NVDIMM=image), for a shell
	@scripts/deps.sh kmod vm
	@scripts/vm.sh

install: ## install twz, its manual and completions, and the library (PREFIX, DESTDIR)
	@scripts/deps.sh build
	$(CARGO) build --release -p twzd -p twz -p twz-posix
	@scripts/install.sh

clean: ## remove everything that was built (not the cached trees and kernels, not the fuzz corpus)
	$(CARGO) clean
