#!/usr/bin/env bash
# Makes the archive of a release's chroot, unless it is there. That takes some minutes, most of it for packages to come.
#
# base.sh RELEASE
. "$(dirname "$0")/../../scripts/common.sh"
. scripts/chroots.sh

release=$1
work=$bases/$release.work
options=()
describe_release "$release"

mkdir -p "$bases"
exec 9>"$bases/$release.lock"
flock 9
if is_made "$release"; then exit; fi

say "making a chroot of $distribution"
rm -rf "$work"
mkdir "$work"
trap 'rm -rf "$work"' EXIT
export TMPDIR=$work
exec >"$bases/$release.log" 2>&1

# Ubuntu's key comes from Debian, whose own key every Debian has.
if [[ $distribution = Ubuntu* ]]; then
  mmdebstrap --variant=extract --include=ubuntu-archive-keyring trixie "$work/keyring" "deb $debian trixie main"
  options=(--keyring="$work/keyring/usr/share/keyrings/ubuntu-archive-keyring.gpg")
fi

# Of an unstable release a mirror may have an index that is older than it should be: it is signed all the same.
mmdebstrap --variant=minbase --include="$packages" --aptopt='Acquire::Check-Valid-Until "false"' "${options[@]}" \
  "$release" "$work/base.tar" "${sources[@]}"
zstd --quiet -6 "$work/base.tar" -o "$work/base.tar.zst"
mv "$work/base.tar.zst" "$bases/$release.tar.zst"
echo "$packages" >"$bases/$release.packages"
