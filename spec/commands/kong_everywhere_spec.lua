-- Plugins of a real Kong with `vault_references = everywhere`: values reach what is behind them, and so does their rotation.

local cleanup = require "spec.support.cleanup"
local files = require "spec.support.files"
local machine = require "spec.support.machine"

-- An nginx stands for the server for logs, a few lines of Lua for an LDAP server: it keeps what it is sent.
local SCRIPT = [[
cat >/mnt/kong.yml <<'KONG'
_format_version: "3.0"
consumers:
- username: someone
  jwt_secrets: [{ key: k1, secret: s3cr3t }]
services:
- name: api
  url: http://127.0.0.1:9000/api
  routes:
  - name: jwt
    paths: ["/jwt"]
    plugins:
    - { name: jwt, config: { key_claim_name: "{vault://hcv/kv/claim}" } }
  - name: ldap
    paths: ["/ldap"]
    plugins:
    - name: ldap-auth
      config:
        { ldap_host: "{vault://hcv/kv/host}", ldap_port: 9389, base_dn: "ou=a,{vault://hcv/kv/dn}",
          attribute: cn, cache_ttl: 0.01 }
  - name: log
    paths: ["/log"]
    plugins:
    - name: http-log
      config:
        http_endpoint: "http://127.0.0.1:9000/{vault://hcv/kv/key}"
        headers: { X-Key: "Key {vault://hcv/kv/key}" }
        queue: { max_coalescing_delay: 0.01 }
  - name: rule
    paths: ["/rule"]
    plugins:
    - { name: ldap-auth, config: { ldap_host: "{vault://hcv/kv/no-host}", ldap_port: 389, base_dn: "dc=a", attribute: cn } }
KONG
cat >/mnt/nginx.conf <<'NGINX'
pid /mnt/nginx.pid;
events {}
http { log_format key "$uri $http_x_key"; access_log /mnt/keys key; server { listen 127.0.0.1:9000; return 200; } }
NGINX
nginx -c /mnt/nginx.conf
cat >/mnt/ldap.lua <<'LUA'
local server = assert(require("socket").bind("127.0.0.1", 9389))
while true do
  local client = server:accept()
  client:settimeout(0.1)
  local whole, _, part = client:receive "*a"
  local file = io.open("/mnt/binds", "a")
  file:write(whole or part, "\n")
  file:close()
  client:close()
end
LUA
luajit /mnt/ldap.lua &
put() {
  bao kv put -mount=secret kv claim="$1" dn="dc=$1" key="$1" host=127.0.0.1 no-host='not a/host' >/dev/null
}
b64() {
  openssl base64 -A | tr '+/' '-_' | tr -d '='
}
token() {
  body=$(printf '{"alg":"HS256","typ":"JWT"}' | b64).$(printf '{"%s":"k1"}' "$1" | b64)
  echo "$body.$(printf %s "$body" | openssl dgst -sha256 -hmac s3cr3t -binary | b64)"
}
status() {
  curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:8000/$@"
}
see() {
  until [ "$(status jwt -H "Authorization: Bearer $(token "$1")")" = 200 ]; do sleep 0.1; done
  echo "jwt $1"
  until status ldap -H "$ldap" >/dev/null && grep -aq "ou=a,dc=$1" /mnt/binds; do sleep 0.1; done
  echo "ldap-auth $1"
  until status log >/dev/null && grep -q "^/$1 Key $1" /mnt/keys; do sleep 0.1; done
  echo "http-log $1"
}
export KONG_DATABASE=off KONG_DECLARATIVE_CONFIG=/mnt/kong.yml KONG_PLUGINS=bundled,kong-vault KONG_VAULTS=bundled,hcv
export KONG_PROXY_LISTEN=127.0.0.1:8000 KONG_ADMIN_LISTEN=127.0.0.1:8001 KONG_ADMIN_GUI_LISTEN=off KONG_STATUS_LISTEN=off
export KONG_NGINX_USER='root root' KONG_PREFIX=/mnt/kong KONG_VAULT_REFERENCES=everywhere
export KONG_VAULT_HCV_HOST=vault.internal KONG_VAULT_HCV_PROTOCOL=https KONG_VAULT_HCV_CA_CERT=/etc/ssl/vault-ca.pem
export KONG_VAULT_HCV_TTL=1 KONG_VAULT_HCV_KV=v2 KONG_VAULT_HCV_TOKEN=root
ldap="Authorization: ldap $(printf someone:word | base64)"
put first
kong start >/dev/null 2>&1
{
  see first
  put second
  see second
  status rule -H "$ldap" >/dev/null
  grep -o 'ldap-auth has no value in [^,]*' /mnt/kong/logs/error.log | sort -u
  curl -s http://127.0.0.1:8001/plugins | grep -o '"[^"]*{vault[^"]*"' | sort -u
} >/mnt/out/seen
kong stop >/dev/null 2>&1
]]

-- What is seen, in this order.
local SEEN = [[
jwt first
ldap-auth first
http-log first
jwt second
ldap-auth second
http-log second
ldap-auth has no value in config.ldap_host: what its reference stands for breaks the field's rule `custom_validator`
"Key {vault://hcv/kv/key}"
"http://127.0.0.1:9000/{vault://hcv/kv/key}"
"ou=a,{vault://hcv/kv/dn}"
"{vault://hcv/kv/claim}"
"{vault://hcv/kv/host}"
"{vault://hcv/kv/no-host}"
]]

describe("references in every plugin", function()
  teardown(cleanup.run)

  it("reach the servers behind a real Kong, and so do new values", function()
    local missing = machine.lacking_kong()
    if missing then
      return pending("needs " .. missing)
    end
    local out = machine.succeed(SCRIPT)
    assert.equal(SEEN, files.read(out .. "/seen"))
  end)
end)
