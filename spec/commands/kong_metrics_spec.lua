-- Kong's own `/metrics`, with its plugin `prometheus`: it has kong-vault's as well, those of the node, once.

local cleanup = require "spec.support.cleanup"
local files = require "spec.support.files"
local machine = require "spec.support.machine"

local SCRIPT = [[
bao kv put -mount=secret kv token=s3cret >/dev/null
cat >/mnt/kong.yml <<'KONG'
_format_version: "3.0"
services:
- name: api
  url: http://127.0.0.1:9000
  routes:
  - { name: api, paths: ["/"] }
plugins:
- name: prometheus
- name: request-termination
  config: { status_code: 200, message: "Token {vault://hcv/kv/token}" }
KONG
export KONG_DATABASE=off KONG_DECLARATIVE_CONFIG=/mnt/kong.yml KONG_PLUGINS=bundled,kong-vault KONG_VAULTS=bundled,hcv
export KONG_PROXY_LISTEN=127.0.0.1:8000 KONG_ADMIN_LISTEN=127.0.0.1:8001 KONG_STATUS_LISTEN=127.0.0.1:8100
export KONG_ADMIN_GUI_LISTEN=off KONG_NGINX_USER='root root' KONG_PREFIX=/mnt/kong KONG_NGINX_WORKER_PROCESSES=2
export KONG_VAULT_REFERENCES=everywhere
export KONG_VAULT_HCV_HOST=127.0.0.1 KONG_VAULT_HCV_PORT=8199 KONG_VAULT_HCV_TOKEN=root KONG_VAULT_HCV_KV=v2
kong start >/dev/null 2>&1
until curl -s http://127.0.0.1:8000/ | grep -q 'Token s3cret'; do sleep 0.1; done
curl -s http://127.0.0.1:8100/metrics >/mnt/out/status
curl -s http://127.0.0.1:8001/metrics >/mnt/out/admin
curl -s http://127.0.0.1:8001/kong-vault/metrics >/mnt/out/own
kong stop >/dev/null 2>&1
]]

-- Returns the families of metrics of a text, in their order.
local function families(text)
  local found = {}
  for name in text:gmatch "# TYPE (%S+)" do
    found[#found + 1] = name
  end
  return found
end

describe("Kong's own metrics", function()
  teardown(cleanup.run)

  it("have kong-vault's once, in the Admin API and in the status listener", function()
    local missing = machine.lacking_kong()
    if missing then
      return pending("needs " .. missing)
    end
    local out = machine.succeed(SCRIPT)
    local own = #families(files.read(out .. "/own"))
    assert.is_true(own > 20)
    for _, place in ipairs({ "status", "admin" }) do
      local text = files.read(out .. "/" .. place)
      local seen, of_vault = {}, 0
      for _, name in ipairs(families(text)) do
        assert.is_nil(seen[name], name)
        seen[name] = true
        of_vault = of_vault + (name:find "^kong_vault_" and 1 or 0)
      end
      assert.equal(own, of_vault)
      assert.is_true(seen.kong_nginx_requests_total)
      assert.matches("\nkong_vault_workers 2\n", text, 1, true)
      assert.matches("\nkong_vault_fetches_total 1\n", text, 1, true)
      assert.is_nil(text:find("s3cret", 1, true))
    end
  end)
end)
