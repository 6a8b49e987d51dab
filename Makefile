# SPDX-License-Identifier: Apache-2.0
# Short names for what people do here. The work is done by board/setup, cmake, board/demo and tests/run.

JOBS ?= $(shell nproc)
# PORTAL= leaves the portal out, where npm has no network
PORTAL ?= portal
ONCE ?=
export ONCE
# Another clone of the same tree finds what this one compiled.
export CCACHE_BASEDIR := $(CURDIR)
export CCACHE_NOHASHDIR := 1
export CCACHE_SLOPPINESS := pch_defines,time_macros

.PHONY: help setup build run test test-all bench fuzz format tidy clean
.DEFAULT_GOAL := help

help:
	@echo "make run [ONCE=1]   install what is missing, build, and watch the gateway work (root)"
	@echo "make test           install what is missing, build, and run all tests (root)"
	@echo "make test-all       the same, clients in a guest kernel, every fuzz target for a minute"
	@echo "make check-NAME     one part of the tests: lint unit path fuzz asan tsan e2e firewall bindings isolation restart"
	@echo "make check-differential  the data path against a plain reference, over a million random pairs (PAIRS=, SEED=)"
	@echo "make check-firewall every requirement of tests/check/firewall.table, one line each; make check-ikev2, check-l2tp, check-sstp, check-pptp, check-mgmt, check-portal, check-logs likewise"
	@echo "make bench          the speed and memory table"
	@echo "make fuzz           every fuzz target for a minute (SECONDS_EACH=60)"
	@echo "make setup          only install what is missing"
	@echo "make format, tidy   clang-format and clang-tidy on the files that differ from HEAD"
	@echo "make clean          remove build/ and state/"

setup:
	@board/setup build run test bench

build/release/build.ninja:
	@cmake --preset release >build/configure-release.txt 2>&1 || { cat build/configure-release.txt; exit 1; }

build: | build-folder
	@$(MAKE) --no-print-directory build/release/build.ninja
	@quiet=--quiet; if [ -t 1 ]; then quiet=; fi; \
	  cmake --build build/release -j $(JOBS) --target dataplaned controld logd exportd tunneld mgmtd sekishoctl $(PORTAL) -- $$quiet

build-folder:
	@mkdir -p build
.PHONY: build-folder

run:
	@board/setup build run
	@echo "building the release preset (the first time takes minutes)"
	@$(MAKE) --no-print-directory build
	@board/demo

test:
	@board/setup build run test
	@tests/run standard

test-all:
	@board/setup build run test guest
	@tests/run all

# What has clients in a guest kernel
check-guest check-ikev2 check-l2tp check-sstp check-pptp: GUEST = guest

check-%:
	@board/setup build run test $(GUEST)
	@tests/run $*

bench:
	@board/setup build run test bench
	@tests/bench/run

fuzz:
	@board/setup build test
	@tests/run fuzzing

format:
	@board/setup format
	@git diff --name-only --diff-filter=d HEAD -- '*.h' '*.cc' | xargs -r clang-format-14 -i

tidy:
	@board/setup build test format
	@cmake --preset dev >/dev/null
	@git diff --name-only --diff-filter=d HEAD -- '*.cc' | xargs -r clang-tidy-14 --quiet -p build/dev

clean:
	@rm -rf build state
