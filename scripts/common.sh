# What the scripts share; to be sourced. Leaves the caller in the project's folder.
# shellcheck shell=bash

set -euo pipefail

# For the scripts that source this.
# shellcheck disable=SC2034
{
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  venv=$root/.venv
  lint_venv=$root/.venv-lint
  lint_node=$root/.work/lint
  # Of releases: zig, and what checks an SBOM.
  dist_venv=$root/.venv-dist
  tools=$root/.work/tools
  target=${CARGO_TARGET_DIR:-$root/target}
  luajit_path="$root/lua/?.lua;$root/?.lua;;"
  luajit_cpath="$root/build/lib/?.so;;"
}
cd "$root"

# Debian keeps servers where only root looks; rustup changes the PATH of later shells only.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
command -v cargo >/dev/null || PATH=$PATH:${CARGO_HOME:-${HOME:-}/.cargo}/bin
export PATH

# Says what is going on, past what a command's own output is.
say() {
  printf '==> %s\n' "$*" >&2
}

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

has() {
  command -v "$1" >/dev/null
}

# The one place that has it.
project_version() {
  sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1
}
