# Chroots of distributions' releases, as machines have them that run gateways: no compilers; to be sourced after common.sh.
# shellcheck shell=bash disable=SC2034,SC2154

# A release's base is made once, and kept as an archive here.
bases=$root/.work/chroots

# As the artefacts name this machine, and as Debian does.
machine=$(uname -m)
architecture=${machine/x86_64/amd64}
architecture=${architecture/aarch64/arm64}

debian=http://deb.debian.org/debian
ubuntu=http://archive.ubuntu.com/ubuntu
[ "$architecture" = amd64 ] || ubuntu=http://ports.ubuntu.com/ubuntu-ports

all_releases=(bullseye bookworm trixie sid focal jammy noble resolute)

# describe_release RELEASE: sets $distribution, $packages (what its base has beside the least) and $sources (of
# apt).
describe_release() {
  packages=ca-certificates,luarocks,nginx-light,libnginx-mod-http-lua
  case $1 in
  bullseye) distribution="Debian 11" ;;
  bookworm) distribution="Debian 12" ;;
  trixie) distribution="Debian 13" ;;
  forky) distribution="Debian testing" ;;
  sid) distribution="Debian unstable" ;;
  focal) distribution="Ubuntu 20.04" ;;
  # It has no ngx_lua.
  jammy) distribution="Ubuntu 22.04" packages=ca-certificates,luarocks,luajit ;;
  noble) distribution="Ubuntu 24.04" ;;
  resolute) distribution="Ubuntu 26.04" ;;
  *) die "there is no release $1: ${all_releases[*]}" ;;
  esac
  case $distribution in
  Debian*) sources=("deb $debian $1 main") ;;
  # There, apt is no part of the least.
  Ubuntu*) packages=apt,$packages sources=("deb $ubuntu $1 main universe" "deb $ubuntu $1-updates main universe") ;;
  esac
}

# Whether the release's base is there, has what it has to, and is not older than a month.
is_made() {
  [ -e "$bases/$1.tar.zst" ] && [ "$(cat "$bases/$1.packages" 2>/dev/null)" = "$packages" ] &&
    [ -n "$(find "$bases/$1.tar.zst" -mtime -30)" ]
}
