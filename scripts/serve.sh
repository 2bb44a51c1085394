# Starts servers for a demo on free loopback ports, in a folder that goes with them; to be sourced after common.sh.
# shellcheck shell=bash

# What this shell would configure nginx with is no part of a demo.
unset "${!KONG_VAULT_@}" "${!AWS_@}" KONG_VAULTS

servers=()
# Below /tmp and open to all: started by root, nginx has its workers run as another user.
scratch=$(mktemp -d)
chmod 755 "$scratch"

stop_servers() {
  local pid
  for pid in "${servers[@]}"; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$scratch"
}
trap stop_servers EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# A port that nobody listens on, below those that the kernel hands out by itself.
free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 12000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
  done
  echo "$port"
}

# start LOG COMMAND…: in the background; its pid is in $started. It ends with this script, also if that is killed.
start() {
  local log=$1
  shift
  setpriv --pdeathsig KILL "$@" </dev/null >"$log" 2>&1 &
  started=$!
  servers+=("$started")
}

# ready PID COMMAND…: waits until the command succeeds; fails where the server ends before, or after a minute.
ready() {
  local pid=$1 end=$((SECONDS + 60))
  shift
  until "$@" >/dev/null 2>&1; do
    kill -0 "$pid" 2>/dev/null && [ $SECONDS -lt $end ] || return
    sleep 0.05
  done
}

# Somebody else may be quicker to take a port: tries FUNCTION, which picks its ports anew, some times. It leaves its
# log's path in $log.
try_start() {
  local attempt
  for attempt in 1 2 3 4 5; do
    "$@" && return
    [ "$attempt" = 5 ] || say "$* did not start, trying other ports"
  done
  cat "$log" >&2
  die "$* does not start"
}

# render TEMPLATE NAME=VALUE…: the template with each @NAME@ filled in.
render() {
  local template=$1 pair text
  shift
  text=$(<"$template")
  for pair in "$@"; do
    text=${text//"@${pair%%=*}@"/"${pair#*=}"}
  done
  printf '%s\n' "$text"
}

# OpenResty has Lua built in; Debian's nginx loads it.
nginx_program() {
  command -v openresty || command -v nginx
}

load_modules() {
  local name
  has openresty && return
  for name in ndk_http_module ngx_http_lua_module; do
    echo "load_module /usr/lib/nginx/modules/$name.so;"
  done
}

# start_nginx TEMPLATE NAME=VALUE…: a folder of its own with the configuration in it; leaves $port.
start_nginx() {
  local template=$1 folder
  shift
  folder=$(mktemp -d "$scratch/nginx-XXXX")
  chmod 755 "$folder"
  log=$folder/error.log
  port=$(free_port)
  render "$template" "port=$port" "folder=$folder" "prefix=$scratch/prefix" "load_modules=$(load_modules)" "$@" \
    >"$folder/nginx.conf"
  start "$folder/output" "$(nginx_program)" -p "$folder" -e "$log" -c "$folder/nginx.conf"
  ready "$started" curl --silent --output /dev/null "http://127.0.0.1:$port/"
}

# As a user would have it: where nginx's workers can read it, wherever the project's folder is.
install_module() {
  make --silent install PREFIX="$scratch/prefix"
}
