#!/usr/bin/env bash
# Tries the artefacts in a chroot of one release, inside namespaces of its own: mounts and processes end with it.
#
# release.sh RELEASE RESULTS ARTEFACT…: writes results and facts, a line each, fields separated by tabs, to RESULTS. SHA256SUMS is
# beside the artefacts. $VAULT is the folder with ca.pem, bao.pem and bao.key; an OpenBao listens at 127.0.0.1:$bao_tls_port, whose
# root token is $bao_token. $UNAVAILABLE (skipped, FAILED) is the result where the release cannot be had.
. "$(dirname "$0")/../../scripts/common.sh"
. scripts/chroots.sh
. scripts/serve.sh
# What is mounted below the folder goes with the namespace; then the caller removes the folder.
trap - EXIT

. spec/dist/pages.sh

release=$1 results=$2
shift 2
artefacts=("$@")
describe_release "$release"

# Seconds from the start of an installation until a value has to have come.
PATIENCE=60

# result ok|FAILED|skipped ARTEFACT CHECK [WHY]
result() {
  printf 'result\t%s\t%s\t%s\t%s\t%s\n' "$release" "$2" "$1" "$3" "${4:-}" >>"$results"
  printf '%-8s %s, %s: %s%s\n' "$1" "$distribution" "$2" "$3" "${4:+: $4}"
}

# fact NAME VALUE
fact() {
  printf 'fact\t%s\t%s\t%s\n' "$release" "$1" "$2" >>"$results"
}

# expect ARTEFACT CHECK COMMAND…: the command's last line of output says why it fails. Returns whether it succeeds.
expect() {
  local artefact=$1 check=$2 output
  shift 2
  if output=$("$@" 2>&1); then
    result ok "$artefact" "$check"
  else
    result FAILED "$artefact" "$check" "$(tail -n 1 <<<"$output")"
    printf "%s\n" "$output" | tail -n 20 >&2
    return 1
  fi
}

# The chroot ----------------------------------------------------------------------------------------------------------

chroot=$scratch/root
# What tests put into the chroot lies on a file system of its own, so it is no part of what an artefact leaves.
folder=/srv

open_chroot() {
  local device
  mkdir "$chroot"
  # In memory: it is quick, and is gone with the namespace.
  mount -t tmpfs -o size=2g,mode=755 tmpfs "$chroot"
  tar --zstd --extract --file "$bases/$release.tar.zst" --numeric-owner --directory "$chroot" --exclude './dev/*'
  mount -t proc proc "$chroot/proc"
  mount -t tmpfs tmpfs "$chroot/dev"
  for device in null zero random urandom tty; do
    touch "$chroot/dev/$device"
    mount --bind "/dev/$device" "$chroot/dev/$device"
  done
  ln -s /proc/self/fd "$chroot/dev/fd"
  mount -t tmpfs -o mode=755 tmpfs "$chroot$folder"
  cp "$VAULT/ca.pem" "$chroot$folder/ca.pem"
  cp "$VAULT/bao.pem" "$chroot$folder/server.pem"
  install -m 644 "$VAULT/bao.key" "$chroot$folder/server.key"
  cp spec/dist/app.lua "$chroot$folder/app.lua"
  cp "${artefacts[@]}" "$(dirname "${artefacts[0]}")/SHA256SUMS" "$chroot$folder/"
  mkdir "$chroot$folder/bin"
  printf '#!/bin/sh\nexec env "$@"\n' >"$chroot$folder/bin/sudo"
  chmod 755 "$chroot$folder/bin/sudo"
  # Names are asked for as outside.
  cp -L /etc/resolv.conf "$chroot/etc/resolv.conf"
}

# What a machine of a user's has in its environment.
environment=("PATH=$folder/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive)
secrets=(MOTTO="per aspera" HCV_TOKEN="$bao_token" KONG_VAULT_HCV_TOKEN='{vault://env/hcv-token}' KONG_VAULT_HCV_PROTOCOL=https
  KONG_VAULT_HCV_HOST=127.0.0.1 KONG_VAULT_HCV_PORT="$bao_tls_port" KONG_VAULT_HCV_KV=v2 KONG_VAULT_HCV_CA_CERT="$folder/ca.pem")

inside() {
  chroot "$chroot" env -i "${environment[@]}" "$@"
}

# All files, their contents, owners and modes; without what package managers note of all that they do. LuaRocks keeps the
# directories of its records, and removes other empty ones.
list_files() {
  (
    cd "$chroot"
    find . -xdev \( -path ./var/log -o -path ./var/cache -o -path ./var/lib/apt -o -path './var/lib/dpkg/*-old' \
      -o -path ./var/lib/dpkg/status -o -path './var/lib/dpkg/lock*' -o -path './var/lib/dpkg/triggers' \
      -o -path './usr/local/lib/luarocks/rocks*/manifest*' -o -path './root/.cache' \) -prune -o \
      \( -printf '%y %m %U:%G %p %l\n' , -type f -fprintf "$scratch/regular" '%p\0' \)
    xargs -0 sha256sum <"$scratch/regular"
  ) | grep -vE '^d .* \./usr/local/(bin|lib/luarocks(/rocks-[0-9.]+)?) $' | LC_ALL=C sort
}

# A user's machine has what its package managers make when they run first.
settle() {
  inside luarocks list >/dev/null 2>&1 || true
  inside apt-get check >/dev/null 2>&1 || true
  touch "$chroot/var/lib/dpkg/available"
}

# version_of COMMAND: the last word of the first line that it writes.
version_of() {
  local text
  text=$(inside "$1" --version) || true
  text=${text%%$'\n'*}
  echo "${text##* }"
}

no_compilers() {
  local name
  for name in rustc cargo gcc cc make; do
    if inside sh -c "command -v $name"; then
      echo "there is $name"
      return 1
    fi
  done
}

# Artefacts -----------------------------------------------------------------------------------------------------------

kind_of() {
  case $1 in
  *.tar.gz) echo tarball ;;
  *.deb) echo deb ;;
  *.rock) echo rock ;;
  *) die "$1 is no artefact" ;;
  esac
}

# nginx ---------------------------------------------------------------------------------------------------------------

ask() {
  curl --silent --show-error --max-time 20 "http://127.0.0.1:$port$1"
}

secret() {
  curl --silent --show-error --max-time 20 --get --data-urlencode "reference=$1" "http://127.0.0.1:$port/get"
}

start_chroot_nginx() {
  hello="" init_worker='init_worker_by_lua_block { app.at "init_worker" }'
  # Its workers crash in every init_worker_by_lua, an empty one as well.
  [ "$release" != focal ] || init_worker=""
  port=$(free_port) tls_port=$(free_port) hello_port=$(free_port)
  if grep -q ssl_client_hello_by_lua "$chroot/usr/lib/nginx/modules/ngx_http_lua_module.so"; then
    hello='ssl_client_hello_by_lua_block { app.at "ssl_client_hello" }'
  fi
  rm -f "$chroot$folder/error.log"
  render spec/dist/nginx.conf port="$port" tls_port="$tls_port" hello_port="$hello_port" folder=$folder client_hello="$hello" init_worker="$init_worker" \
    >"$chroot$folder/nginx.conf"
  start "$scratch/nginx.log" chroot "$chroot" env -i "${environment[@]}" "${secrets[@]}" \
    nginx -c $folder/nginx.conf
  nginx=$started log=$scratch/nginx.log
  ready "$nginx" ask /versions
}

why_not() {
  cat "$scratch/nginx.log" "$chroot$folder/error.log" 2>/dev/null | grep -E '\[(emerg|alert|crit|error)\]' | grep -v "$ACCEPTED" |
    tail -n 1
}

# What ngx_lua says of each LuaJIT that is not OpenResty's.
ACCEPTED="detected a LuaJIT version which is not OpenResty's"

# equal WHAT WANTED COMMAND…
equal() {
  local what=$1 wanted=$2 got
  shift 2
  got=$("$@") || true
  [ "$got" = "$wanted" ] || {
    echo "$what is '$got', not '$wanted'"
    return 1
  }
}

values() {
  equal "the secret of the environment" "per aspera" secret "{vault://env/motto}" &&
    equal "the secret of OpenBao" "of db" secret "{vault://hcv/dist/db/value}"
}

noted() {
  ask /seen | sed -n "s/^$1\t//p"
}

# All phases but those of TLS.
phases() {
  local phase wanted got end=$((SECONDS + 20))
  equal "the answer" "done" ask /phases || return
  ask /balanced >/dev/null
  for phase in init ${init_worker:+init_worker} timer rewrite access content header_filter body_filter log balancer; do
    wanted="of $phase"
    case $phase in
    header_filter | body_filter | log | balancer) wanted="of init" ;;
    esac
    until got=$(noted "$phase") && [ "$got" = "$wanted" ]; do
      [ $SECONDS -lt $end ] || {
        echo "in $phase: ${got:-nothing}"
        return 1
      }
      sleep 0.1
    done
  done
}

over_tls() {
  curl --silent --insecure --max-time 20 "https://127.0.0.1:$1/" >/dev/null
}

# tls_phase NAME PORT: says what this nginx can do in that phase of TLS: wait for a secret, or only take a cached one. Where it cannot
# wait, it closes the connection.
tls_phase() {
  local i
  over_tls "$2" && [ "$(noted "$1")" = "of $1" ] && echo "waits" && return
  equal "the secret" "of $1" secret "{vault://hcv/dist/$1/value}" || return
  # Each worker has a cache of its own.
  for ((i = 0; i < 20; i++)); do
    over_tls "$2" && [ "$(noted "$1")" = "of $1" ] && echo "cached values" && return
  done
  echo "no value: $(noted "$1")"
  return 1
}

# tls_phases KIND: notes it for each phase.
tls_phases() {
  local phase port_of_phase can
  for phase in ssl_certificate ssl_client_hello; do
    port_of_phase=$tls_port
    [ $phase = ssl_certificate ] || port_of_phase=$hello_port
    if [ $phase = ssl_client_hello ] && [ -z "$hello" ]; then
      can=none
    elif can=$(tls_phase $phase "$port_of_phase"); then
      result ok "$1" "get in $phase"
    else
      result FAILED "$1" "get in $phase" "$can"
    fi
    fact $phase "$can"
  done
}

# One fetch for both workers.
two_workers() {
  local pid fetches value total=0 count=0
  local -A seen=()
  while [ ${#seen[@]} -lt 2 ]; do
    count=$((count + 1))
    [ $count -le 500 ] || {
      echo "500 requests came to one worker"
      return 1
    }
    IFS=$'\t' read -r pid fetches value < <(ask "/worker?reference=%7Bvault://hcv/dist/shared/value%7D")
    [ "$value" = "of shared" ] || {
      echo "a worker answers '$value'"
      return 1
    }
    seen[$pid]=1
    total=$((total + fetches))
  done
  equal "the number of fetches" 1 echo "$total"
}

# Many requests at once wait for one secret.
at_once() {
  local addresses=() i
  for ((i = 0; i < 30; i++)); do
    addresses+=("http://127.0.0.1:$port/get?reference=%7Bvault://hcv/dist/crowd/value%7D&request=$i")
  done
  equal "what 30 requests got" "$(printf 'of crowd%.0s' {1..30})" \
    curl --silent --show-error --max-time 20 --parallel --parallel-immediate "${addresses[@]}"
}

reload() {
  local before after end=$((SECONDS + 20))
  before=$(ask "/worker?reference=x" | cut -f 1)
  kill -HUP "$nginx"
  until after=$(ask "/worker?reference=x" | cut -f 1) && [ "$after" != "$before" ] && ! [ -e "/proc/$before" ]; do
    [ $SECONDS -lt $end ] || {
      echo "worker $before is still there"
      return 1
    }
    sleep 0.1
  done
  values
}

quiet_log() {
  local line
  line=$(why_not)
  [ -z "$line" ] || {
    echo "$line"
    return 1
  }
}

# The command line ----------------------------------------------------------------------------------------------------

command_get() {
  equal "env/motto" "per aspera" inside "${secrets[@]}" kong-vault get env/motto &&
    equal "hcv/dist/db/value" "of db" inside "${secrets[@]}" kong-vault get hcv/dist/db/value
}

command_check() {
  echo "vault_hcv_host = 127.0.0.1" >"$chroot$folder/good.conf"
  echo "vault_hcv_hots = 127.0.0.1" >"$chroot$folder/bad.conf"
  inside kong-vault check $folder/good.conf || return
  ! inside kong-vault check $folder/bad.conf
}

command_doctor() {
  inside "${secrets[@]}" kong-vault doctor hcv/dist/db/value | tee "$scratch/doctor" && grep -q '^ok  *read ' "$scratch/doctor"
}

# ---------------------------------------------------------------------------------------------------------------------

# with_nginx KIND: what only a release with ngx_lua can show.
with_nginx() {
  if ! start_chroot_nginx; then
    result FAILED "$1" "nginx starts" "$(why_not)"
    return
  fi
  # Once installed, it is to be used within a minute.
  if expect "$1" "values over HTTP" values; then
    [ $((SECONDS - began)) -le $PATIENCE ] || result FAILED "$1" "a value within a minute" "it took $((SECONDS - began)) s"
  fi
  ask /versions | while IFS=$'\t' read -r name version; do fact "$name" "$version"; done
  [ ! -e "$chroot/usr/lib/nginx/modules/ngx_stream_lua_module.so" ] || fact ngx_stream_lua yes
  expect "$1" "get in each phase" phases || true
  expect "$1" "many requests at once" at_once || true
  expect "$1" "two workers, one fetch" two_workers || true
  tls_phases "$1"
  expect "$1" "reload" reload || true
  expect "$1" "nothing wrong in the log" quiet_log || true
  kill -QUIT "$nginx"
  wait "$nginx" || result FAILED "$1" "nginx ends" "status $?"
}

# A release without ngx_lua has LuaJIT.
with_luajit() {
  fact LuaJIT "$(inside luajit -v | awk '{ print $2 }')"
  equal "the secret in LuaJIT" "per aspera of db" inside "${secrets[@]}" luajit -e \
    'local vault = require "kong.vault"
    io.write(vault.get "{vault://env/motto}", " ", vault.get "{vault://hcv/dist/db/value}")'
}

try_artefact() {
  local file began=$SECONDS kind
  file=$(basename "$1")
  kind=$(kind_of "$file")
  list_files >"$scratch/before"
  began=$SECONDS
  expect "$kind" "installs" "${kind}_install" "$file" || return 0
  if [ -e "$chroot/usr/lib/nginx/modules/ngx_http_lua_module.so" ]; then
    with_nginx "$kind"
  else
    expect "$kind" "values in LuaJIT" with_luajit || true
  fi
  expect "$kind" "kong-vault get" command_get || true
  expect "$kind" "kong-vault check" command_check || true
  expect "$kind" "kong-vault doctor" command_doctor || true
  expect "$kind" "removes itself" "${kind}_remove" "$file" || true
  list_files >"$scratch/after"
  expect "$kind" "leaves no trace" diff "$scratch/before" "$scratch/after" || true
}

if ! bash spec/dist/base.sh "$release"; then
  result "${UNAVAILABLE:-skipped}" chroot "cannot be had" "$(tail -n 1 "$bases/$release.log")"
  printf 'The last lines of %s:\n' "${bases#"$root/"}/$release.log"
  tail -n 5 "$bases/$release.log"
  exit
fi
open_chroot
fact distribution "$distribution"
fact glibc "$(version_of ldd)"
fact luarocks "$(version_of luarocks)"
expect "chroot" "no rustc, cargo, gcc, cc or make" no_compilers || true
expect "chroot" "checksums" checksums || true
settle
for artefact in "${artefacts[@]}"; do
  try_artefact "$artefact"
done
