-- How often a look-up crosses from Lua into the library: each crossing costs time of nginx's thread, and each is one more place
-- where the two sides have to agree.

local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local nginx = require "spec.support.nginx"
local wait = require "spec.support.wait"

-- Wraps all functions of the library, so that `crossings` lists the names of those that are called.
local COUNT = [[
  require "kong.vault"
  local native = require "kong.vault.native"
  crossings = {}
  local function counted(name, call)
    return function(...)
      crossings[#crossings + 1] = name
      return call(...)
    end
  end
  for name, value in pairs(native) do
    if type(value) == "function" then
      native[name] = counted(name, value)
    end
  end
  local vm = native.vm
  native.vm = setmetatable({}, {
    __index = function(_, name)
      return counted("vm:" .. name, function(_, ...)
        return vm[name](vm, ...)
      end)
    end,
  })
]]

-- Returns what a call crosses for, from its beginning until nothing is left of it.
local CROSSINGS = [[
  local reference = ...
  crossings = {}
  local value, err = require("kong.vault").get(reference)
  local made = table.concat(crossings, " ")
  local dict, claims = ngx.shared.kong_secrets, 0
  for _, key in ipairs(dict:get_keys(0)) do
    claims = claims + (key:find("claim", 1, true) and 1 or 0)
  end
  return value or err, made, claims
]]

describe("a look-up", function()
  local vault, server

  setup(function()
    vault = fake.start()
  end)

  before_each(function()
    server = nginx.start({
      http = "lua_shared_dict kong_secrets 5m;",
      env = { KONG_VAULT_HCV_PORT = vault.port, KONG_VAULT_FETCH_TIMEOUT = "20" },
      init = COUNT,
      workers = 1,
    })
    -- The first fetch of a worker starts its engine and its listener.
    wait.eventually("the worker listens", function()
      server:value("{vault://hcv/first-" .. math.random(1e9) .. "/value}")
      return server:eval [[ return require("kong.vault.listener").runs(60) == 60 ]]
    end)
  end)

  teardown(cleanup.run)

  it("that misses crosses into the library five times, with the fetch over the network and its publication", function()
    for number = 1, 5 do
      local value, made, claims = server:eval(CROSSINGS, ("{vault://hcv/crossed-%d/value}"):format(number))
      assert.equal("value of crossed-" .. number, value)
      assert.equal("lookup step event step take", made)
      assert.equal(0, claims)
    end
    assert.equal(0, server:stop("QUIT", 10))
  end)

  it("that the node's cache answers crosses three times", function()
    local reference = "{vault://hcv/known/value?ttl=600}"
    assert.equal("value of known", (server:eval(CROSSINGS, reference)))
    server:reload()
    wait.eventually("a new worker answers from the node's cache", function()
      local value, made = server:eval(CROSSINGS, reference)
      assert.equal("value of known", value)
      -- The old worker, which has the value itself, may be asked once more.
      return made:find "lookup step take"
    end)
    assert.equal(1, vault:count "/v1/secret/known")
    assert.equal(0, server:stop("QUIT", 10))
  end)
end)
