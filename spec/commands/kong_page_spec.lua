-- The page in a real Kong's Admin API: Kong's entities, beside what is kong-vault's own.

local cjson = require "cjson"

local cleanup = require "spec.support.cleanup"
local files = require "spec.support.files"
local machine = require "spec.support.machine"

-- Each call leaves status, headers and body.
local SCRIPT = [[
cat >/mnt/kong.yml <<'KONG'
_format_version: "3.0"
vaults:
- { prefix: mine, name: hcv, config: { host: 127.0.0.1, port: 8199, protocol: http, kv: v2, token: root } }
plugins:
- name: kong-vault
KONG
export KONG_DATABASE=off KONG_DECLARATIVE_CONFIG=/mnt/kong.yml KONG_PLUGINS=bundled,kong-vault KONG_VAULTS=bundled,hcv
export KONG_PROXY_LISTEN=off KONG_ADMIN_LISTEN=127.0.0.1:8001 KONG_ADMIN_GUI_LISTEN=off KONG_STATUS_LISTEN=off
export KONG_NGINX_USER='root root' KONG_PREFIX=/mnt/kong
bao kv put -mount=secret page value=s3cret
kong start
ask() {
  name=$1
  shift
  curl -sS -D "/mnt/out/$name.head" -o "/mnt/out/$name" "$@"
}
list=http://127.0.0.1:8001/kong-vault/vaults
ask page -H 'Accept: text/html' $list
ask list $list
ask one $list/mine
ask status $list/_status
ask options $list/_options
ask check -H 'Content-Type: application/json' -d '{"vault":"mine","secret":"page/value"}' $list/_check
ask own -H 'Sec-Fetch-Site: same-origin' $list
ask foreign -H 'Origin: http://evil.example' $list
ask foreign-check -H 'Sec-Fetch-Site: cross-site' -d '{"vault":"mine"}' $list/_check
ask own-check -H 'Origin: http://127.0.0.1:8001' -H 'Content-Type: application/json' -d '{"vault":"mine"}' $list/_check
ask foreign-status -H 'Sec-Fetch-Site: cross-site' http://127.0.0.1:8001/kong-vault/status
ask foreign-metrics -H 'Origin: http://evil.example' http://127.0.0.1:8001/kong-vault/metrics
ask opened -H 'Sec-Fetch-Site: none' -H 'Sec-Fetch-Mode: navigate' -H 'Sec-Fetch-Dest: document' http://127.0.0.1:8001/kong-vault
ask post -X POST $list/mine
ask delete -X DELETE $list/mine
kong quit
]]

describe("the page in Kong", function()
  teardown(cleanup.run)

  local missing = machine.lacking_kong()
  if missing then
    return pending("needs " .. missing)
  end

  local out

  local function status(name)
    return tonumber(files.read(out .. "/" .. name .. ".head"):match "^HTTP/%S+ (%d+)")
  end

  local function body(name)
    return cjson.decode(files.read(out .. "/" .. name))
  end

  setup(function()
    out = machine.succeed(SCRIPT)
  end)

  it("is the list in a browser, and Kong's entities are the list otherwise", function()
    assert.equal(200, status "page")
    assert.matches("^<!DOCTYPE html>", files.read(out .. "/page"))
    assert.truthy(files.read(out .. "/page.head"):find("frame-ancestors 'none'", 1, true))
    assert.same({ 200, "mine" }, { status "list", body("list").data[1].prefix })
    assert.same({ 200, "mine" }, { status "one", body("one").prefix })
    assert.same({ 200, 405 }, { status "own", status "delete" })
  end)

  it("has state, options and checks of kong-vault's own", function()
    local kinds = {}
    for _, vault in ipairs(body("status").vaults) do
      kinds[vault.name] = vault.kind
    end
    assert.same({ "built-in", "kong" }, { kinds.hcv, kinds.mine })
    assert.equal("env", body("options").backends[1].name)
    assert.same({ 200, 0 }, { status "check", body("check").summary.errors }, files.read(out .. "/check"))
  end)

  it("is heard, and no other page in a browser", function()
    assert.same({ 403, 403 }, { status "foreign", status "foreign-check" })
    assert.same({ 403, 403 }, { status "foreign-status", status "foreign-metrics" })
    assert.same({ 200, 200 }, { status "own-check", status "opened" })
    assert.equal(405, status "post")
  end)
end)
