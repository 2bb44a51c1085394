-- The page of a real Kong with a database, in a real Chromium: one vault from its creation to its deletion.

local cjson = require "cjson"

local browser = require "spec.support.browser"
local cleanup = require "spec.support.cleanup"
local files = require "spec.support.files"
local machine = require "spec.support.machine"

-- Each step leaves what the browser's function returned; a step that fails ends it with why.
local SCRIPT = [[
bao kv put -mount=secret app password=s3cret >/dev/null
bao token create -id=t0ken-of-kong -policy=root >/dev/null
psql -q -c "CREATE USER kong PASSWORD 'kong'" -c "CREATE DATABASE kong OWNER kong"
export KONG_DATABASE=postgres KONG_PG_HOST=127.0.0.1 KONG_PG_PASSWORD=kong KONG_PLUGINS=bundled,kong-vault KONG_VAULTS=bundled,hcv
export KONG_PROXY_LISTEN=127.0.0.1:8000 KONG_ADMIN_LISTEN=127.0.0.1:8001 KONG_ADMIN_GUI_LISTEN=off KONG_STATUS_LISTEN=off
export KONG_NGINX_USER='root root' KONG_PREFIX=/mnt/kong KONG_NGINX_WORKER_PROCESSES=1 KONG_VAULT_REFERENCES=everywhere
kong migrations bootstrap >/dev/null 2>&1
kong start >/dev/null 2>&1
chromium=$(command -v chromium-headless-shell || command -v chromium || command -v chromium-browser)
HOME=/mnt TMPDIR=/mnt CHROMIUM=$chromium LANG=C.UTF-8 node \
  spec/browser/driver.js 9222 "$PWD/.work/browser/node_modules" >/mnt/driver.log 2>&1 &
send() {
  curl -sf -o /dev/null -H 'Content-Type: application/json' "$@"
}
admin=http://127.0.0.1:8001
until send $admin/vaults; do sleep 0.1; done
until curl -s -o /dev/null http://127.0.0.1:9222/; do sleep 0.1; done
send $admin/services -d '{"name":"orders","url":"http://127.0.0.1:9000"}'
send $admin/services/orders/routes -d '{"name":"new","paths":["/"]}'
walk() {
  curl -sS -o "/mnt/out/$1" -w '%{http_code}' -d "$3" "http://127.0.0.1:9222/walk/$2" >"/mnt/out/$1.status"
  grep -q 200 "/mnt/out/$1.status" || { cat "/mnt/out/$1"; exit 1; }
}
walk create create "{\"url\":\"$admin/kong-vault/vaults\",\"port\":8199,\"token\":\"t0ken-of-kong\"}"
curl -sf $admin/vaults/production >/mnt/out/stored
walk works test '{"secret":"app/password"}'
send $admin/routes/new/plugins -d '{"name":"request-termination",
  "config":{"status_code":200,"message":"Password {vault://production/app/password}"}}'
until curl -s http://127.0.0.1:8000/ | grep -q 'Password s3cret'; do sleep 0.1; done
walk fresh reference '{"reference":"{vault://production/app}","state":"fresh"}'
walk breaks edit '{"port":8190,"token":"t0ken-of-kong"}'
walk fails test '{"secret":"app/password"}'
walk mends edit '{"port":8199,"token":"t0ken-of-kong"}'
walk works-again test '{"secret":"app/password"}'
curl -sf $admin/vaults/production >/mnt/out/kept
walk removes remove '{}'
curl -s -o /mnt/out/gone -w '%{http_code}' $admin/vaults/production >/mnt/out/gone.status
walk ends end '{"secrets":["t0ken-of-kong","s3cret"]}'
kill %1
kong quit >/dev/null 2>&1
]]

describe("the page of a real Kong in Chromium", function()
  teardown(cleanup.run)

  local missing = machine.lacking()
    or not (machine.KONG and machine.POSTGRES) and "a Kong Gateway and Postgres (TEST_KONG, TEST_POSTGRES)"
    or browser.lacking()
  if missing then
    return pending("needs " .. missing)
  end

  it("creates a vault, tests it, breaks and mends it, keeps its secret, and deletes it", function()
    local out = machine.succeed(SCRIPT)
    local function left(name)
      return cjson.decode((files.read(out .. "/" .. name)))
    end
    local config = left("stored").config
    assert.same({ "127.0.0.1", 8199, "v2", "t0ken-of-kong" }, { config.host, config.port, config.kv, config.token })
    assert.matches("^The vault works", left("works").verdict)
    assert.same("fresh", left("fresh").cells[2])
    assert.truthy(table.concat(left("breaks").steps, "\n"):find "wrong: .*8190")
    assert.matches("^The test found an error", left("fails").verdict)
    assert.matches("^The vault works", left("works-again").verdict)
    config = left("kept").config
    assert.same({ 8199, "t0ken-of-kong" }, { config.port, config.token })
    assert.equal("404", files.read(out .. "/gone.status"))
  end)
end)
