#!/bin/sh
# Installs kong-vault from its unpacked archive, or removes what it installed.
#
# install.sh [--prefix DIR] [--uninstall]
#
# DIR is /usr/local where nothing else is said. DESTDIR is put before it, for those who build packages or images. The list of what was
# installed, and this script, are kept in DIR/share/kong-vault: a removal needs no archive.
set -eu

usage() {
  echo "usage: install.sh [--prefix DIR] [--uninstall]"
}

die() {
  echo "install.sh: $*" >&2
  exit 1
}

prefix=/usr/local
uninstall=
while [ $# -gt 0 ]; do
  case $1 in
  --prefix)
    [ $# -ge 2 ] || die "--prefix needs a directory"
    prefix=$2
    shift
    ;;
  --prefix=*) prefix=${1#--prefix=} ;;
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

# Reads a list from stdin.
remove_files() {
  while IFS= read -r path; do
    rm -f "$root$path"
  done
}

# The deepest first; a directory that somebody else has put something into stays.
remove_directories() {
  sort -r | while IFS= read -r path; do
    rmdir "$root$path" 2>/dev/null || :
  done
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [ -n "$uninstall" ]; then
  [ -e "$list" ] || die "no installation by this script below ${prefix:-/}"
  [ -w "$root$own" ] || die "may not write to $root$own: run it as root"
  cp "$list" "$work/list"
  paths f "$work/list" | remove_files
  rm -f "$list"
  paths d "$work/list" | remove_directories
  echo "removed kong-vault from ${prefix:-/}"
  exit
fi

source=$(cd "$(dirname "$0")" && pwd)
[ -e "$source/lib/lua/5.1/kong/vault/native.so" ] || die "run it in the unpacked archive: there is no lib/lua beside $0"

# make_directory PATH: with those above it, each noted.
make_directory() {
  [ -n "$1" ] && [ ! -d "$root$1" ] || return 0
  make_directory "${1%/*}"
  [ -n "${1%/*}" ] || mkdir -p "$root/"
  mkdir "$root$1"
  echo "d $1" >>"$work/list"
}

# place FILE DESTINATION MODE: by a rename, so that no process sees half a file, and one that has the old library mapped keeps it.
place() {
  make_directory "${2%/*}"
  cp "$1" "$root$2.new"
  chmod "$3" "$root$2.new"
  mv -f "$root$2.new" "$root$2"
  echo "f $2" >>"$work/list"
}

: >"$work/list"
# What an earlier installation made is removed with this one.
if [ -e "$list" ]; then
  grep '^d ' "$list" >"$work/list" || :
  paths f "$list" >"$work/before"
fi

(cd "$source" && find bin lib share -type f | sort) >"$work/files"
while IFS= read -r file; do
  case $file in
  bin/*) mode=755 ;;
  *) mode=644 ;;
  esac
  place "$source/$file" "$prefix/$file" $mode
done <"$work/files"
place "$source/install.sh" "$own/install.sh" 755

if [ -e "$work/before" ]; then
  paths f "$work/list" >"$work/now"
  { grep -vxFf "$work/now" "$work/before" || :; } | remove_files
fi
place "$work/list" "$own/installed" 644

echo "installed kong-vault below ${prefix:-/}"
echo "to remove it: $own/install.sh --prefix ${prefix:-/} --uninstall"
