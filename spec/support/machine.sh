#!/usr/bin/env bash
# The machine that the docs' readers have, inside namespaces of its own: nothing outside is changed or reached.
#
# machine.sh FOLDER PROJECT: FOLDER holds `page` (the script to run), `vault.pem`, `vault.key` and `ca.pem`.
#
# It has: kong-vault, installed from the project; an OpenBao at https://vault.internal:8200 with the engine KV v2 at `secret`, and its command logged in as root; an
# AWS-API server instead of AWS, and the command `aws`; nginx with Lua; sudo. Its working directory is the project's. `kong` is
# the command that TEST_KONG names, if any. If TEST_POSTGRES names the directory of Postgres's programs, a Postgres listens on
# this machine, and `psql` is logged in to it as its superuser.
set -eu
folder=$1 project=$2

mount -t tmpfs tmpfs /mnt
# What the page writes is kept outside of what is laid over below.
mkdir /mnt/out
mount --bind "$folder/out" /mnt/out
for place in etc root run tmp usr/local var; do
  # The scripts' folder may be below one of these.
  [ -d "/$place" ] || continue
  mkdir -p "/mnt/$place/upper" "/mnt/$place/work"
  mount -t overlay overlay -o "lowerdir=/$place,upperdir=/mnt/$place/upper,workdir=/mnt/$place/work" "/$place"
done
ip link set lo up

echo "127.0.0.1 localhost vault.internal" >/etc/hosts
cp "$folder/ca.pem" /etc/ssl/vault-ca.pem
# For the script that it writes.
# shellcheck disable=SC2016
printf '#!/bin/sh\n[ "$1" != --preserve-env ] || shift\nexec env "$@"\n' >/usr/local/bin/sudo
chmod 755 /usr/local/bin/sudo
ln -sf "$TEST_BAO" /usr/local/bin/bao
# AWS's own command line is not everywhere: its client library is, beside the AWS-API server.
{
  echo "#!$(dirname "$TEST_MOTO")/python"
  cat <<'END'
import os
import sys
import boto3
service, operation, *rest = sys.argv[1:]
values = {"".join(word.title() for word in name[2:].split("-")): value for name, value in zip(rest[::2], rest[1::2])}
print(getattr(boto3.client(service, os.environ.get("AWS_REGION")), operation.replace("-", "_"))(**values))
END
} >/usr/local/bin/aws
chmod 755 /usr/local/bin/aws
export PATH=/usr/local/bin:$PATH
# An installed kong-vault is no part of the machine. Kong's packages have their own files beside it.
(cd "$project/lua" && find . -name '*.lua') | sed 's|^|/usr/local/share/lua/5.1/|' | xargs rm -f
rm -rf /usr/local/lib/lua/5.1/kong/vault

if [ -n "${TEST_KONG:-}" ]; then
  kong=$(command -v "$TEST_KONG")
  [ "$kong" = /usr/local/bin/kong ] || ln -sf "$kong" /usr/local/bin/kong
  # Kong's packages bring it.
  mkdir -p /etc/kong
fi

cat >/mnt/bao.hcl <<END
listener "tcp" {
  address = "127.0.0.1:8200"
  tls_cert_file = "$folder/vault.pem"
  tls_key_file = "$folder/vault.key"
}
END
bao server -dev -dev-no-store-token -dev-root-token-id=root -dev-listen-address=127.0.0.1:8199 -config=/mnt/bao.hcl \
  >/mnt/bao.log 2>&1 &
"$TEST_MOTO" -H 127.0.0.1 -p 8198 >/mnt/moto.log 2>&1 &

if [ -n "${TEST_POSTGRES:-}" ]; then
  echo postgres >/mnt/password
  install -d -o postgres /mnt/postgres
  runuser -u postgres -- "$TEST_POSTGRES/initdb" -D /mnt/postgres -A md5 --pwfile=/mnt/password >/mnt/initdb.log
  runuser -u postgres -- "$TEST_POSTGRES/postgres" -D /mnt/postgres -h 127.0.0.1 -k /mnt/postgres \
    -c password_encryption=md5 >/mnt/postgres.log 2>&1 &
  export PATH=$PATH:$TEST_POSTGRES PGHOST=127.0.0.1 PGUSER=postgres PGPASSWORD=postgres
  until pg_isready -q; do sleep 0.1; done
fi

export VAULT_ADDR=https://vault.internal:8200 VAULT_CACERT=/etc/ssl/vault-ca.pem VAULT_TOKEN=root
export AWS_ENDPOINT_URL=http://127.0.0.1:8198
until bao kv get -mount=secret none 2>&1 | grep -q 'No value' && curl -sf -o /dev/null 127.0.0.1:8198/moto-api/data.json; do
  sleep 0.1
done

cd "$project"
make -s install >/mnt/install.log
bash -e "$folder/page"
