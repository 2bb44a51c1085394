# A real OpenBao and an AWS-API server for the demo; to be sourced after serve.sh.
# shellcheck shell=bash disable=SC2154

bao_token=demo-root-token

bao() {
  local path=$1
  shift
  curl --silent --show-error --fail --header "X-Vault-Token: $bao_token" "$@" "http://127.0.0.1:$bao_port/v1/$path"
}

bao_write() {
  bao "$1" --data "$2" >/dev/null
}

# A certificate authority of our own, and a certificate by it.
make_certificates() {
  (
    cd "$scratch"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=demo authority" \
      -keyout ca.key -out ca.pem
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=bao -keyout bao.key -out bao.csr
    echo "subjectAltName=IP:127.0.0.1" >bao.ext
    openssl x509 -req -days 2 -in bao.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile bao.ext -out bao.pem
  ) >"$scratch/openssl.log" 2>&1 || {
    cat "$scratch/openssl.log" >&2
    die "openssl makes no certificates"
  }
}

# In dev mode: in memory, unsealed, KV v2 at secret/. It answers before it has mounted that.
start_bao() {
  bao_port=$(free_port) bao_tls_port=$(free_port) log=$scratch/bao.log
  cat >"$scratch/bao.hcl" <<HCL
listener "tcp" {
  address       = "127.0.0.1:$bao_tls_port"
  tls_cert_file = "$scratch/bao.pem"
  tls_key_file  = "$scratch/bao.key"
}
HCL
  start "$log" env HOME="$scratch" "$venv/bin/bao" server -dev -dev-no-store-token -dev-root-token-id="$bao_token" \
    -dev-listen-address="127.0.0.1:$bao_port" -config="$scratch/bao.hcl"
  ready "$started" bao secret/config
}

fill_bao() {
  bao_write sys/mounts/legacy '{"type": "kv", "options": {"version": "1"}}'
  bao_write legacy/demo/db '{"username": "kong", "password": "from KV v1"}'
  bao_write secret/data/demo/db '{"data": {"username": "kong", "password": "the first one"}}'
  bao_write secret/data/demo/db '{"data": {"username": "kong", "password": "the second one"}}'
}

start_aws() {
  aws_port=$(free_port) log=$scratch/aws.log
  start "$log" env HOME="$scratch" "$venv/bin/moto_server" -H 127.0.0.1 -p "$aws_port"
  ready "$started" curl --silent --fail "http://127.0.0.1:$aws_port/moto-api/data.json"
}
