# The project's commands. `make` lists them; each sets up what it lacks.

PREFIX = /usr/local
DESTDIR =
# Where Lua looks below PREFIX; LuaRocks sets these.
LUADIR = $(PREFIX)/share/lua/5.1
LIBDIR = $(PREFIX)/lib/lua/5.1
BINDIR = $(PREFIX)/bin

INSTALL = install

.DEFAULT_GOAL := help
.PHONY: help demo demo-vaults build install dist test-dist test-images test bench proofs release-check fuzz docs lint clean

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

demo: ## read a secret from the environment in a real nginx, over HTTP
	@scripts/setup rust runtime
	@scripts/build
	@scripts/demo

demo-vaults: ## the same from a real OpenBao and from an AWS-API server
	@scripts/setup rust runtime vaults
	@scripts/build
	@scripts/demo-vaults

build: ## the release artefacts, into build/; needs Rust and a C compiler
	@scripts/setup rust
	@scripts/build

LUA := $(patsubst lua/%,%,$(shell find lua -name '*.lua'))

# Each file takes its place by a rename: a running nginx keeps the one that it has mapped, and nobody reads half a file.
install: ## copy module, library and command below PREFIX (/usr/local) or DESTDIR
	@scripts/build
	@umask 022 && place() { $(INSTALL) -m "$$1" "$$2" "$$3.new" && mv -f "$$3.new" "$$3"; } && \
	$(INSTALL) -d $(addprefix '$(DESTDIR)$(LUADIR)'/,$(sort $(dir $(LUA)))) '$(DESTDIR)$(LIBDIR)/kong/vault' '$(DESTDIR)$(BINDIR)' && \
	for file in $(LUA); do place 644 "lua/$$file" '$(DESTDIR)$(LUADIR)'/"$$file" || exit; done && \
	place 755 build/lib/kong/vault/native.so '$(DESTDIR)$(LIBDIR)/kong/vault/native.so' && \
	place 755 build/bin/kong-vault '$(DESTDIR)$(BINDIR)/kong-vault'

dist: ## a release's files, into dist/: archives, packages, rocks, SBOM, checksums
	@scripts/setup rust dist
	@scripts/dist $(ARGS)

test-dist: ## install them in chroots of distributions, read secrets over HTTP, remove them
	@scripts/setup vaults chroots
	@scripts/test-dist $(ARGS)

test-images: ## build the images of packaging/docker from dist/, and run the compose file and manifests; as root
	@scripts/setup vaults images
	@scripts/test-images

test: ## all tests: Rust, Lua, and a real nginx with real vaults
	@scripts/setup rust runtime specs vaults
	@scripts/test

bench: ## measure against peers; writes bench.json
	@scripts/setup rust runtime vaults bench
	@scripts/build
	@scripts/bench $(ARGS)

proofs: ## the tests' stand-ins for vendors' servers, proven by the vendors' own clients
	@scripts/setup rust
	@scripts/proofs

release-check: lint test proofs ## what must pass before a release

SECONDS = 60

fuzz: ## feed what is read with what nobody would write, each target for SECONDS=60
	@scripts/setup rust fuzz
	@scripts/fuzz $(SECONDS)

docs: ## the documentation as a site, into build/book
	@scripts/setup docs
	@scripts/docs

lint: ## rustfmt, clippy, cargo-deny, luacheck, stylua, shellcheck, biome, actionlint, YAML, mdbook
	@scripts/setup rust lint docs
	@scripts/lint

clean: ## remove what was built; installed tools stay
	rm -rf build dist target fuzz/target bench.json
