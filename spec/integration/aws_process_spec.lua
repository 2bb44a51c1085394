-- AWS credentials that a program writes, in nginx workers: nginx reaps whatever child of a worker ends, and nothing may be
-- left of one.

local cleanup = require "spec.support.cleanup"
local files = require "spec.support.files"
local moto = require "spec.support.moto"
local nginx = require "spec.support.nginx"
local wait = require "spec.support.wait"

local KEYS = [[
#!/bin/sh
echo run >> %s/runs
ends=$(date -u -d '+3 seconds' +%%Y-%%m-%%dT%%H:%%M:%%SZ)
printf '{"Version":1,"AccessKeyId":"%s","SecretAccessKey":"%s","Expiration":"%%s"}' "$ends"
]]

describe("a program for AWS credentials in nginx", function()
  if not moto.program() then
    return pending "TEST_MOTO does not name a moto_server program, and there is no .venv/bin/moto_server"
  end

  local aws, id, key

  setup(function()
    aws = moto.start()
    aws:secrets("CreateSecret", { Name = "plain", SecretString = "in plain text" })
    id, key = aws:user("reader", "secretsmanager:GetSecretValue")
    aws:guard()
  end)

  teardown(cleanup.run)

  local function start(command, env)
    local folder = files.folder()
    local all = {
      KONG_VAULT_AWS_REGION = moto.REGION,
      KONG_VAULT_AWS_ENDPOINT_URL = aws.url,
      AWS_CONFIG_FILE = files.write(folder .. "/config", "[default]\ncredential_process = " .. command .. "\n"),
      AWS_EC2_METADATA_DISABLED = "true",
      PATH = "/usr/bin:/bin",
    }
    for name, value in pairs(env or {}) do
      all[name] = value
    end
    return nginx.start({ env = all, init = [[require "kong.vault"]], workers = 2 })
  end

  -- The children of all threads of nginx's processes but its workers.
  local function children(server)
    local found = {}
    for _, worker in ipairs(server:workers()) do
      local list = io.popen(("cat /proc/%d/task/*/children 2>/dev/null"):format(worker))
      for child in list:read("*a"):gmatch "%d+" do
        found[#found + 1] = child
      end
      list:close()
    end
    return found
  end

  local function ends_without_children(server)
    assert.is_true(wait.poll(function()
      return #children(server) == 0
    end, 10))
    assert.equal(0, server:stop("QUIT", 10))
    assert.same({}, server:flaws({ key, "in plain text" }))
  end

  it("is run again before its credentials end, and no fetch fails", function()
    local folder = files.folder()
    local script = files.write(folder .. "/keys", KEYS:format(folder, id, key))
    local server = start("/bin/sh " .. script)
    local fetches = server:eval [[
      local vault, start, count = require "kong.vault", ngx.now(), 0
      repeat
        count = count + 1
        local value, err = vault.get(("{vault://aws/plain?ttl=%d}"):format(count + 1000))
        if value ~= "in plain text" then
          return err
        end
        ngx.sleep(0.02)
        ngx.update_time()
      until ngx.now() - start > 7
      return count
    ]]
    assert.is_true((tonumber(fetches) or 0) > 100, fetches)
    local _, runs = files.read(folder .. "/runs"):gsub("run\n", "")
    assert.is_true(runs >= 3 and runs <= 8, runs)
    ends_without_children(server)
  end)

  it("ends with the worker where it does not end by itself", function()
    local folder = files.folder()
    local server = start(("echo $$ > %s/pid; sleep 60; true"):format(folder), { KONG_VAULT_FETCH_TIMEOUT = "0.5" })
    local value, err = server:value "{vault://aws/plain}"
    assert.is_nil(value)
    assert.matches("no credentials within 0.45 seconds from credential_process of profile default", err, 1, true)
    local pid = assert(tonumber(files.read(folder .. "/pid")))
    assert.is_true(files.exists("/proc/" .. pid))
    assert.equal(0, server:stop("QUIT", 10))
    assert.is_true(wait.poll(function()
      return not (files.read("/proc/" .. pid .. "/status") or "Z"):find "State:\t[^Z]"
    end, 10))
    assert.same({}, server:flaws({ key, "in plain text" }))
  end)
end)
