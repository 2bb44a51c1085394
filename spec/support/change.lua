-- Shared by the specs in which options change: two vaults, and a server whose fields hold several of their secrets.

local cjson = require "cjson"

local at_worker = require "spec.support.at_worker"
local fake = require "spec.support.fake"
local wait = require "spec.support.wait"

local _M = {}

-- Seconds until the vaults answer.
local AWAY = 0.2

-- Each worker has a configuration like a plugin's, with fields of several documents.
_M.SERVER = at_worker.LOCATION
  .. [[
  location = /update {
    content_by_lua_block {
      local config = require("spec.support.inside").config
      require("kong.vault").update(config)
      for name in pairs(config["$refs"]) do
        if config[name] == "" then
          -- Not by `exit`, which would close the connection.
          ngx.status = 500
          ngx.header.content_length = 5
          return ngx.print "empty"
        end
      end
      ngx.header.content_length = #config.one
      ngx.print(config.one)
    }
  }
  location = /get {
    content_by_lua_block {
      local value, err = require("kong.vault").get "{vault://mine/one/value}"
      if not value then
        ngx.status, value = 502, err
      end
      ngx.header.content_length = #value
      ngx.print(value)
    }
  }
]]

_M.CONFIG = [[
  require("spec.support.inside").config = {
    one = "", two = "", long = "", ["$refs"] = {
      one = "{vault://mine/one/value}", two = "{vault://mine/two/value?ttl=20}", long = "{vault://mine/two/count}",
    },
  }
]]

--- Has vaults answer for the secrets of those fields.
function _M.route(vaults)
  for _, vault in ipairs(vaults) do
    for _, mount in ipairs({ "secret", "mount" }) do
      for _, name in ipairs({ "one", "two" }) do
        local body = cjson.encode({ data = { value = ("%s of %s"):format(name, vault.port), count = "1" } })
        vault:route(("/v1/%s/%s"):format(mount, name), { status = 200, body = body, delay = AWAY })
      end
    end
  end
end

--- Waits until every worker has all values cached.
function _M.warm(server)
  wait.eventually("all workers have them", function()
    for _, pid in ipairs(server:workers()) do
      local answers = at_worker.ask(server, pid, "/update") .. at_worker.ask(server, pid, "/get")
      if not answers:match "^one of %d+one of %d+$" then
        return false
      end
    end
    return true
  end)
end

--- Waits until every worker serves a text.
function _M.serves(server, text)
  wait.eventually("what is asked for now is served", function()
    for _ = 1, 10 do
      if server:get("/update").body ~= text or server:get("/get").body ~= text then
        return false
      end
    end
    return true
  end)
end

--- The two vaults.
function _M.vaults()
  return fake.start(), fake.start()
end

return _M
