#!/bin/sh
# Installs kong-vault from its unpacked archive, or removes what it installed.
#
# install.sh [--prefix DIR] [--force] [--uninstall]
#
# DIR is /usr/local where nothing else is said; for the copy of this script that an installation keeps, it is that installation's.
# --force: replaces files that another installation made. DESTDIR is put before DIR, for those who build packages or images. The list
# of what was installed, and this script, are kept in DIR/share/kong-vault: a removal needs no archive.
set -eu

usage() {
  echo "usage: install.sh [--prefix DIR] [--force] [--uninstall]"
}

die() {
  echo "install.sh: $*" >&2
  exit 1
}

source=$(cd "$(dirname "$0")" && pwd)
prefix=/usr/local
# A list that is not of this very place is that of a stage.
case $source in
*/share/kong-vault) ! grep -qxF "f $source/install.sh" "$source/installed" 2>/dev/null || prefix=${source%share/kong-vault} ;;
esac
uninstall=
force=
while [ $# -gt 0 ]; do
  case $1 in
  --prefix)
    [ $# -ge 2 ] || die "--prefix needs a directory"
    prefix=$2
    shift
    ;;
  --prefix=*) prefix=${1#--prefix=} ;;
  --force) force=1 ;;
  --uninstall) uninstall=1 ;;
  -h | --help)
    usage
    exit
    ;;
  *)
    usage >&2
    exit 2
    ;;
  esac
  shift
done

case $prefix in
/) prefix= ;;
/*) prefix=${prefix%/} ;;
*) die "--prefix has to begin with a slash: $prefix" ;;
esac

# Of every user's reading, and sorted alike everywhere.
umask 022
export LC_ALL=C

root=${DESTDIR:-}
own=$prefix/share/kong-vault
# Lines `d DIRECTORY` for what was not there before, and `f FILE`.
list=$root$own/installed

# paths KIND LIST
paths() {
  sed -n "s/^$1 //p" "$2"
}

# Reads a list from stdin. An installation that was interrupted leaves a file beside.
remove_files() {
  while IFS= read -r path; do
    rm -f "$root$path" "$root$path.new"
  done
}

# The deepest first; a directory that somebody else has put something into stays.
remove_directories() {
  sort -r | while IFS= read -r path; do
    rmdir "$root$path" 2>/dev/null || :
  done
}

begun=
work=$(mktemp -d)
finish() {
  if [ -n "$begun" ] && [ -e "$list" ]; then
    echo "install.sh: not finished: run it again, or with --uninstall" >&2
  elif [ -n "$begun" ]; then
    rm -f "$list.new"
    paths d "$work/directories" | remove_directories
  fi
  rm -rf "$work"
}
trap finish EXIT
# Not all shells do what is to be done at the end when a signal ends them.
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

if [ -n "$uninstall" ]; then
  [ -e "$list" ] || die "no installation by this script below ${prefix:-/}"
  [ -w "$root$own" ] || die "may not write to $root$own: run it as root"
  cp "$list" "$work/list"
  paths f "$work/list" | remove_files
  rm -f "$list" "$list.new"
  paths d "$work/list" | remove_directories
  echo "removed kong-vault from ${prefix:-/}"
  exit
fi

[ -e "$source/lib/lua/5.1/kong/vault/native.so" ] || die "run it in the unpacked archive: there is no lib/lua beside $0"

# missing FILE: the directories above it that are not there.
missing() {
  path=${1%/*}
  while [ -n "$path" ] && [ ! -d "$root$path" ]; do
    printf 'd %s\n' "$path"
    path=${path%/*}
  done
}

# place FILE DESTINATION MODE: by a rename, so that no process sees half a file, and one that has the old library mapped keeps it.
place() {
  cp "$1" "$root$2.new" &&
    chmod "$3" "$root$2.new" &&
    mv -f "$root$2.new" "$root$2"
}

# What an earlier installation made, also one that was interrupted, is removed with this one.
: >"$work/before"
[ ! -e "$list" ] || cp "$list" "$work/before"
(cd "$source" && find bin lib share -type f | sort) >"$work/names"
{
  while IFS= read -r file; do printf '%s\n' "$prefix/$file"; done <"$work/names"
  printf '%s\n' "$own/install.sh"
} >"$work/files"

[ -n "$force" ] || while IFS= read -r file; do
  [ ! -e "$root$file" ] || grep -qxF "f $file" "$work/before" ||
    die "$root$file is of another installation (LuaRocks, make install?): remove that first, or replace its files with --force"
done <"$work/files"

{
  grep '^d ' "$work/before" || :
  while IFS= read -r file; do missing "$file"; done <"$work/files"
} | sort -u >"$work/directories"
{
  cat "$work/directories"
  sed 's/^/f /' "$work/files"
} >"$work/now"
# For as long as it takes, the list has what is there and what is to come: a removal finds all of it, wherever this ends.
{
  cat "$work/now"
  paths f "$work/before" | grep -vxFf "$work/files" | sed 's/^/f /' || :
} >"$work/list"

begun=1
mkdir -p "$root$own"
place "$work/list" "$own/installed" 644
paths d "$work/directories" | while IFS= read -r path; do
  [ -d "$root$path" ] || mkdir "$root$path"
done
while IFS= read -r file; do
  case $file in
  bin/*) mode=755 ;;
  *) mode=644 ;;
  esac
  place "$source/$file" "$prefix/$file" $mode
done <"$work/names"
place "$source/install.sh" "$own/install.sh" 755
paths f "$work/before" | { grep -vxFf "$work/files" || :; } | remove_files
place "$work/now" "$own/installed" 644
begun=

echo "installed kong-vault below ${prefix:-/}"
echo "to remove it: '$(printf '%s\n' "$own" | sed "s/'/'\\\\''/g")/install.sh' --uninstall"
