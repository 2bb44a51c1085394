-- The audit log of a real Kong with a database: who changed which vault entity by Kong's Admin API, and for whom references were
-- read.

local cjson = require "cjson"

local cleanup = require "spec.support.cleanup"
local files = require "spec.support.files"
local machine = require "spec.support.machine"

local SCRIPT = [[
bao kv put -mount=secret kv token=s3cret other=0ther >/dev/null
psql -q -c "CREATE USER kong PASSWORD 'kong'" -c "CREATE DATABASE kong OWNER kong"
export KONG_DATABASE=postgres KONG_PG_HOST=127.0.0.1 KONG_PG_PASSWORD=kong KONG_PLUGINS=bundled,kong-vault KONG_VAULTS=bundled,hcv
export KONG_PROXY_LISTEN=127.0.0.1:8000 KONG_ADMIN_LISTEN=127.0.0.1:8001 KONG_ADMIN_GUI_LISTEN=off KONG_STATUS_LISTEN=off
export KONG_NGINX_USER='root root' KONG_PREFIX=/mnt/kong KONG_UNTRUSTED_LUA=on MY_TOKEN=root KONG_NGINX_WORKER_PROCESSES=2
export KONG_VAULT_HCV_HOST=127.0.0.1 KONG_VAULT_HCV_PORT=8199 KONG_VAULT_HCV_TOKEN=root KONG_VAULT_HCV_KV=v2
export KONG_VAULT_REFERENCES=everywhere KONG_VAULT_AUDIT_LOG=/mnt/out/audit.json KONG_VAULT_AUDIT_READS=all
kong migrations bootstrap >/dev/null 2>&1
kong start >/dev/null 2>&1
send() {
  curl -sf -o /dev/null -H 'Content-Type: application/json' "$@"
}
admin=http://127.0.0.1:8001
until send $admin/vaults; do sleep 0.1; done
send $admin/vaults -d '{"prefix":"mine","name":"hcv","config":{"host":"127.0.0.1","port":8199,"kv":"v2","token":"root"}}'
send -X PATCH $admin/vaults/mine -d '{"config":{"token":"{vault://env/my-token}","ttl":60}}'
send $admin/services -d '{"name":"orders","url":"http://127.0.0.1:9000"}'
send $admin/services/orders/routes -d '{"name":"new","paths":["/"]}'
send $admin/services/orders/plugins -d '{"name":"pre-function",
  "config":{"access":["kong.vault.get(\"{vault://hcv/kv/other}\")"]}}'
send $admin/routes/new/plugins -d '{"name":"request-termination",
  "config":{"status_code":200,"message":"Token {vault://mine/kv/token}"}}'
until curl -s http://127.0.0.1:8000/ | grep -q 'Token s3cret'; do sleep 0.1; done
send -X DELETE $admin/vaults/mine
kong quit >/dev/null 2>&1
until [ ! -e /mnt/kong/pids/nginx.pid ]; do sleep 0.1; done
]]

describe("the audit log of a real Kong", function()
  teardown(cleanup.run)

  local missing = machine.lacking()
    or not (machine.KONG and machine.POSTGRES) and "a Kong Gateway and Postgres (TEST_KONG, TEST_POSTGRES)"
  local text
  local lines = {}

  setup(function()
    if missing then
      return
    end
    text = files.read(machine.succeed(SCRIPT) .. "/audit.json")
    for line in text:gmatch "[^\n]+" do
      lines[#lines + 1] = cjson.decode(line)
    end
  end)

  -- Returns the lines of an event that have these fields.
  local function having(event, fields)
    local found = {}
    for _, line in ipairs(lines) do
      local has = line.event == event
      for name, value in pairs(fields) do
        has = has and line[name] == value
      end
      found[#found + 1] = has and line or nil
    end
    return found
  end

  it("has one line on each change of a vault entity, with the client's address", function()
    if missing then
      return pending("needs " .. missing)
    end
    local actions = {}
    for i, line in ipairs(having("admin", { entity = "mine" })) do
      actions[i] = line.action .. " from " .. tostring(line.who.address)
    end
    assert.same({ "create from 127.0.0.1", "update from 127.0.0.1", "delete from 127.0.0.1" }, actions)
    local update = having("admin", { action = "update" })[1]
    assert.equal("********", update.before.config.token)
    assert.equal("{vault://env/my-token}", update.after.config.token)
    assert.same({ nil, 60 }, { update.before.config.ttl, update.after.config.ttl })
  end)

  it("names plugin, route, service and request of look-ups", function()
    if missing then
      return pending("needs " .. missing)
    end
    local of_field = having("read", { reference = "{vault://mine/kv/token}", plugin = "request-termination" })[1]
    local of_code = having("read", { reference = "{vault://hcv/kv/other}", plugin = "pre-function" })[1]
    for _, line in ipairs({ of_field, of_code }) do
      assert.same({ true, "access", "new", "orders" }, { line.served, line.phase, line.route, line.service })
      assert.is_truthy(line.plugin_id and line.request_id)
    end
    assert.not_equal(of_field.plugin_id, of_code.plugin_id)
  end)

  it("has no value and no token", function()
    if missing then
      return pending("needs " .. missing)
    end
    for _, secret in ipairs({ "s3cret", "0ther", '"root"' }) do
      assert.is_nil(text:find(secret, 1, true))
    end
  end)
end)
