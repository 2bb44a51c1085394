-- The plugin's `pdk = off` and `on`: Kong gets its own functions back, and ours come again.

local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local in_kong = require "spec.support.in_kong"

describe("in Kong, switching the plugin", function()
  local vault

  setup(function()
    vault = fake.start()
  end)

  teardown(cleanup.run)

  local function serving(more)
    local options = {
      init_worker = [[
        kong.vault.init_worker()
        handler.init_worker()
      ]],
    }
    for name, value in pairs(more or {}) do
      options[name] = value
    end
    return in_kong.start(
      vault,
      [[
      kongs_get = kong.vault.get
      handler = require "kong.plugins.kong-vault.handler"
    ]],
      options
    )
  end

  it("gives Kong its own functions back where its configuration says off, and takes them again", function()
    local server = serving()
    assert.equal(
      "Kong's",
      server:eval [[
      handler:configure({ { pdk = "off" } })
      kong.vault.get "{vault://custom/x}"
      return kong.vault.get == require("kong.vault").get and "ours" or "Kong's"
    ]]
    )
    assert.equal(
      "ours",
      server:eval [[
      handler:configure(nil)
      return kong.vault.get == require("kong.vault").get and "ours" or "Kong's"
    ]]
    )
  end)

  it("has each worker's Kong look up itself what it is to serve, and keeps what it had where that fails", function()
    local server = serving({ http = "lua_shared_dict kong_secrets 1m;" })
    assert.same(
      { true, "of before", "kept", "theirs", "get {vault://custom/x}" },
      server:eval [[
      local dict, hash = ngx.shared.kong_secrets, ("h"):rep(22) .. "."
      local found, lost, custom = "{vault://hcv/shared/value}", "{vault://hcv/lost/value}", "{vault://custom/x}"
      dict:set(hash .. found, "of before", 100)
      dict:set(hash .. lost, "kept", 100)
      dict:set(hash .. custom, "theirs", 100)
      local refs = { { config = { ["$refs"] = { found, lost }, deeper = { ["$refs"] = { a = { custom } } } } } }
      kong.db.plugins = { each = function() return function() return table.remove(refs) end end }
      local had_none
      kong.finds = setmetatable({}, { __index = function(_, reference)
        if reference == found then
          -- From the worker's own cache.
          had_none = dict:get(hash .. found) == nil
          return "new"
        end
      end })
      handler:configure({ { pdk = "off" } })
      local left = dict:ttl(hash .. lost)
      assert(left > 90 and left <= 100)
      local calls = {}
      for _, call in ipairs(kong.calls) do
        calls[call] = call
      end
      return { had_none, dict:get(hash .. found), dict:get(hash .. lost), dict:get(hash .. custom), calls["get " .. custom] }
    ]]
    )
  end)

  it("reads entities when it takes them again: nobody told of what was replaced meanwhile", function()
    local server = serving()
    server:eval [[
      handler:configure({ { pdk = "off" } })
      entities[1].config.mount = "meanwhile"
      handler:configure(nil)
    ]]
    assert.equal("value of x", (server:value "{vault://mine/x/value}"))
    assert.equal(1, vault:count "/v1/meanwhile/x")
  end)

  it("hands over with Kong's own look-up, as Kong looks the credentials of vault entities up meanwhile", function()
    local server = serving()
    assert.same(
      { true, "{vault://mine/x/value}" },
      server:eval [[
      local seen = {}
      kong.db.plugins = { each = function()
        local rows = { { config = { ["$refs"] = { key = "{vault://mine/x/value}" } } } }
        return function() return table.remove(rows) end
      end }
      kong.finds = setmetatable({}, { __index = function(_, reference)
        seen[1], seen[2] = kong.vault.get == kongs_get, reference
      end })
      handler:configure({ { pdk = "off" } })
      return seen
    ]]
    )
  end)

  it("gives them back under calls that wait", function()
    local server = serving()
    assert.same(
      { "of a custom vault", true, true },
      server:eval [[
      kong.db.plugins = { each = function() ngx.sleep(0) return function() end end }
      local look_again = require("kong.vault.entities").look_again
      require("kong.vault.entities").look_again = function() ngx.sleep(0.01) return look_again() end
      entities[2].prefix = "renamed"
      require("kong.vault.entities").refresh()
      local function off()
        handler:configure({ { pdk = "off" } })
        return true
      end
      kong.configuration.loaded_vaults.custom = nil
      local asking = ngx.thread.spawn(kong.vault.get, "{vault://custom/x}")
      kong.configuration.loaded_vaults.custom = true
      local one, two = ngx.thread.spawn(off), ngx.thread.spawn(off)
      local found = { select(2, ngx.thread.wait(asking)) }
      return { found[1], select(2, ngx.thread.wait(one)), select(2, ngx.thread.wait(two)) }
    ]]
    )
  end)
end)
