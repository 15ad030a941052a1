# The front door. `make help` lists what there is; `make run` and `make test` are each enough on a fresh machine.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules --no-print-directory
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin

PREFIX ?= /usr/local
DESTDIR ?=
CLANG ?= clang
# Where `make test` leaves what CI counts.
RESULTS := dist/results/tests.json

# Debian keeps <asm/types.h> under the multiarch name; `-target bpf` does not look there by itself.
MACHINE := $(shell uname -m)
MULTIARCH := $(MACHINE)-linux-gnu
BPF_ARCH := $(patsubst aarch64,arm64,$(patsubst x86_64,x86,$(MACHINE)))
# -mcpu=v3 is the most that Debian 12's clang 14 knows. -g makes BTF, which CO-RE and the generated layouts need.
# Objects name their sources relative to the checkout, so that they are the same wherever that is.
BPF_CFLAGS := -O2 -g -target bpf -mcpu=v3 -ffile-prefix-map=$(CURDIR)=. -D__TARGET_ARCH_$(BPF_ARCH) -I bpf -I /usr/include/$(MULTIARCH)

BPF_SOURCES := $(wildcard bpf/*.bpf.c)
BPF_HEADERS := $(wildcard bpf/*.h) kmod/ilm_lookup.h
BPF_OBJECTS := $(BPF_SOURCES:bpf/%.bpf.c=dist/bpf/%.bpf.o) dist/bpf/empty.bpf.o
# For the guests of `make test-kernels` only.
KMOD_TEST_OBJECTS := dist/bpf/probe.bpf.o dist/bpf/stranger.bpf.o
TS_SOURCES := $(shell find src tools bench test -name '*.ts') tsconfig.json package.json

TSC := node node_modules/typescript/bin/tsc
VITEST := node node_modules/vitest/vitest.mjs run
# Programs, namespaces and real daemons need root; a normal user becomes it for these commands only.
AS_ROOT := tools/as-root.sh
# Whoever owns the checkout owns what is built in it, also after `sudo make`.
OWN := tools/own.sh

# A sample of what repeats or draws at random is in `make test`: test/support/sizes.ts has both sizes.
WHOLE := env ILM_SIZE=whole
# What nearly every change touches: all units but those that take seconds each; and of the privileged ones TCP and UDP, IPv4 and
# IPv6, apply, add, remove, unload, and reloads under load.
QUICK := --exclude 'test/unit/tools/**' --exclude test/unit/cli/shell/progress.test.ts test/unit/ test/netns/order.test.ts \
	test/netns/run-time-mappings.test.ts test/netns/unload.test.ts test/fault/swaps.test.ts

.PHONY: help run build test quick test-kernels unit check oracle storm faults fuzz soak daemons bench generate format package release \
	install uninstall clean

help: ## this list
	@echo "ilm: a private address for every daemon, and the kernel brings it its connections"
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | \
		while IFS='|' read -r target purpose; do printf '  make %-12s %s\n' "$$target" "$$purpose"; done
	@echo
	@echo "  PREFIX=$(PREFIX) DESTDIR=$(DESTDIR) are heeded by install and uninstall"

run: setup-run build ## the demo, in network namespaces of its own (ARGS=--keep to play with it)
	@$(AS_ROOT) bin/ilm demo $(ARGS)

build: setup-build dist/.built ## compile the BPF programs and the TypeScript

test: setup-test build ## every test: unit, oracle, fuzz, real daemons in network namespaces
	@mkdir -p $(dir $(RESULTS))
	@rm -f $(RESULTS)
	@status=0; $(AS_ROOT) $(VITEST) --reporter=default --reporter=./tools/results-reporter.mjs --outputFile.json=$(RESULTS) $(ARGS) \
		|| status=$$?; $(AS_ROOT) $(OWN); exit $$status

quick: setup-test build ## types, unit tests and the core with privileges, in a minute: for every commit
	@status=0; $(AS_ROOT) $(VITEST) $(QUICK) $(ARGS) || status=$$?; $(AS_ROOT) $(OWN); exit $$status

check: setup-check ## types, lint, format, dead code, layers, generated files, shell, links, BPF warnings
	@tools/check.sh

unit: setup-build build ## only the tests that need no root
	@$(VITEST) --project unit $(ARGS)

oracle: setup-test build ## the loaded program against the oracle, and imports against NAT, much longer than in `make test`
	@status=0; $(AS_ROOT) $(WHOLE) $(VITEST) test/oracle test/netns/import-random.test.ts $(ARGS) || status=$$?; $(AS_ROOT) $(OWN); exit $$status

storm: setup-test build ## reloads under full connection load, much longer than in `make test`
	@status=0; $(AS_ROOT) $(WHOLE) $(VITEST) test/fault/swaps.test.ts $(ARGS) || status=$$?; $(AS_ROOT) $(OWN); exit $$status

faults: setup-test build ## kills at every step, restarts and shortages, much longer than in `make test`; with the storm
	@status=0; $(AS_ROOT) $(WHOLE) $(VITEST) test/fault test/netns/overlay.test.ts test/netns/tampering.test.ts \
		test/netns/other-users.test.ts $(ARGS) || status=$$?; \
		$(AS_ROOT) $(OWN); exit $$status

fuzz: setup-test build ## configuration and packets against random input, much longer than in `make test`
	@status=0; $(AS_ROOT) $(WHOLE) $(VITEST) test/fuzz $(ARGS) || status=$$?; $(AS_ROOT) $(OWN); exit $$status

test-kernels: setup-kernels build $(KMOD_TEST_OBJECTS) ## real Debian kernels in QEMU, and docs/kernels.md (ARGS="6.1 6.12": only these)
	@$(AS_ROOT) tools/kernels/run.sh $(ARGS); $(OWN)

soak: setup-test build ## daemons of all kinds at random under load, ten minutes (a short one is in `make test`)
	@status=0; $(AS_ROOT) $(WHOLE) $(VITEST) test/soak $(ARGS) || status=$$?; $(AS_ROOT) $(OWN); exit $$status

daemons: setup-test build ## the tables of docs/daemons.md, from what real daemons see
	@status=0; $(AS_ROOT) env ILM_DAEMONS=write $(VITEST) --no-file-parallelism test/netns/stock- $(ARGS) || status=$$?; \
		$(AS_ROOT) $(OWN); exit $$status

bench: setup-bench build dist/bench/traffic dist/bench/calls ## the tables of docs/performance.md (ARGS: connections, udp, watching, start, away, apply, lookup, listeners, ownership, rewrite, release; --write: into it)
	@$(AS_ROOT) node dist/bench/main.js $(ARGS); $(AS_ROOT) $(OWN)

generate: build ## rewrite the generated files: ABI layouts, JSON Schema, command reference, man pages, completions
	@tools/generate.sh
	@$(OWN)

format: setup-check ## format the TypeScript, JSON and YAML
	@node_modules/.bin/oxfmt --write .

package: setup-package build ## the Debian packages and the npm package, in dist/packages (ARGS="deb amd64")
	@node dist/tools/package.js $(ARGS)
	@$(OWN)

release: build ## a release of main: tests, packages, a tag (VERSION=1.0.0; docs/releasing.md)
	@node dist/tools/release.js '$(VERSION)'

install: build ## to $(DESTDIR)$(PREFIX)
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' tools/install.sh install

uninstall: ## what install put there
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' tools/install.sh uninstall

clean: ## what was built (node_modules stays)
	@rm -rf dist coverage

.PHONY: setup-build setup-run setup-test setup-check setup-bench setup-kernels setup-package
setup-build setup-run setup-test setup-check setup-bench setup-kernels setup-package: setup-%:
	@tools/setup.sh $*
	@$(OWN)

# Order: objects, then the layouts from the objects' BTF (their generator is compiled alone: it imports nothing of ours),
# then the TypeScript.
dist/bpf/%.bpf.o: bpf/%.bpf.c $(BPF_HEADERS) Makefile
	@mkdir -p $(@D)
	@echo "clang $<"
	@$(CLANG) $(BPF_CFLAGS) -Wall -c $< -o $@

$(KMOD_TEST_OBJECTS): dist/bpf/%.bpf.o: kmod/test/%.bpf.c kmod/ilm_lookup.h Makefile
	@mkdir -p $(@D)
	@$(CLANG) $(BPF_CFLAGS) -Wall -c $< -o $@

dist/bpf/empty.bpf.o: bench/empty.bpf.c Makefile
	@mkdir -p $(@D)
	@$(CLANG) $(BPF_CFLAGS) -Wall -c $< -o $@

dist/bench/traffic dist/bench/calls: dist/bench/%: bench/%.c bench/common.h Makefile
	@mkdir -p $(@D)
	@$(CLANG) -O2 -Wall -Wextra $< -o $@

# A newer compiler may warn of more: that fails `make check` here, and not the build of whoever has it.
.PHONY: objects-strict
objects-strict: $(BPF_OBJECTS)
	@for source in $(BPF_SOURCES); do \
		$(CLANG) $(BPF_CFLAGS) -Wall -Wextra -Wno-unused-parameter -Werror -fsyntax-only $$source; \
	done

node_modules/.package-lock.json: package-lock.json
	@tools/setup.sh build

dist/.built: $(BPF_OBJECTS) $(TS_SOURCES) node_modules/.package-lock.json
	@$(TSC) -p tools/tsconfig.abi.json
	@node dist/tools/generate-abi.js
	@echo "tsc"
	@$(TSC) -p .
	@echo "bundle"
	@node dist/tools/bundle.js .
	@touch $@
	@$(OWN)
