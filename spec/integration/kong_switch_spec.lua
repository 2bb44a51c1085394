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
      kongs = {}
      for name, value in pairs(kong.vault) do
        kongs[name] = value
      end
      handler = require "kong.plugins.kong-vault.handler"

      -- Whose functions all of `kong.vault` are.
      function whose()
        local of_kong, ours = true, true
        for name, value in pairs(kong.vault) do
          of_kong = of_kong and value == kongs[name]
          ours = ours and value ~= kongs[name]
        end
        return of_kong and "Kong's" or ours and "ours" or "both"
      end

      -- Hands the plugin its configuration as Kong does, and waits until it has an effect.
      function switch(mode)
        handler:configure(mode and { { pdk = mode } })
        local wanted, till = mode == "off" and "Kong's" or "ours", ngx.now() + 30
        while whose() ~= wanted do
          assert(ngx.now() < till, "the functions are never those that are wanted")
          ngx.sleep(0.01)
        end
        return wanted
      end

      -- The rows that Kong has of an entity.
      function holds(entity, rows)
        kong.db[entity] = { each = function()
          local i = 0
          return function()
            i = i + 1
            return rows[i]
          end
        end }
      end
    ]],
      options
    )
  end

  it("gives Kong its own functions back where its configuration says off, and takes them again", function()
    local server = serving()
    assert.same({ "ours", "Kong's", "ours" }, {
      server:eval [[ return whose() ]],
      server:eval [[
        switch "off"
        kong.vault.get "{vault://custom/x}"
        return whose()
      ]],
      server:eval [[ switch(nil) return whose() ]],
    })
  end)

  it("has each worker's Kong look up itself what it is to serve, and keeps what it had where that fails", function()
    local server = serving({ http = "lua_shared_dict kong_secrets 1m;" })
    local found = server:eval [[
      local dict, hash = ngx.shared.kong_secrets, ("h"):rep(22) .. "."
      local found, lost, custom = "{vault://hcv/shared/value}", "{vault://hcv/lost/value}", "{vault://custom/x}"
      dict:set(hash .. found, "of before", 100)
      dict:set(hash .. lost, "kept", 100)
      dict:set(hash .. custom, "theirs", 100)
      holds("plugins", { { config = { found = found, lost = lost, nothing = ngx.null, deeper = { a = { custom } } } } })
      local had_none, others_put_back
      kong.finds = setmetatable({}, { __index = function(_, reference)
        if reference == found then
          -- From the worker's own cache.
          had_none = dict:get(hash .. found) == nil
          return "new"
        elseif reference == lost then
          -- Another worker that does the same at the same time: it finds nothing to take.
          others_put_back = require("kong.vault.gateway.shdict_keys").take({ hash .. lost })
          -- What Kong leaves where it finds nothing.
          dict:set(hash .. lost, "\0", 120)
        end
      end })
      switch "off"
      local left = dict:ttl(hash .. lost)
      assert(left > 90 and left <= 100, left)
      dict:set(hash .. lost, "\0", 120)
      others_put_back()
      local calls = {}
      for _, call in ipairs(kong.calls) do
        calls[call] = call
      end
      return { had_none, dict:get(hash .. found), dict:get(hash .. lost), dict:get(hash .. custom), calls["get " .. custom] }
    ]]
    assert.same({ true, "of before", "kept", "theirs", "get {vault://custom/x}" }, found)
    assert.matches("return the previous value, or none, for 1 of 3 references", server:log(), 1, true)
  end)

  it("reads entities when it takes them again: nobody told of what was replaced meanwhile", function()
    local server = serving()
    server:eval [[
      switch "off"
      entities[1].config.mount = "meanwhile"
      switch(nil)
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
      holds("plugins", { { config = { key = "{vault://mine/x/value}" } } })
      kong.finds = setmetatable({}, { __index = function(_, reference)
        seen[1], seen[2] = kong.vault.get == kongs.get, reference
      end })
      switch "off"
      return seen
    ]]
    )
  end)

  it("does what was said last where it is said again during a hand-over, and one hand-over at a time", function()
    local server = serving()
    assert.same(
      { "ours", 1, "Kong's", 2 },
      server:eval [[
      local gate, waiting, most, reads = require("ngx.semaphore").new(), 0, 0, 0
      kong.db.plugins = { each = function()
        reads, waiting = reads + 1, waiting + 1
        most = math.max(most, waiting)
        assert(gate:wait(30))
        waiting = waiting - 1
        return function() end
      end }
      local function begun(number)
        while reads < number do
          ngx.sleep(0.01)
        end
      end
      handler:configure({ { pdk = "off" } })
      begun(1)
      handler:configure(nil)
      handler:configure({ { pdk = "off" } })
      handler:configure(nil)
      gate:post()
      local till = ngx.now() + 30
      while whose() ~= "ours" and ngx.now() < till do
        ngx.sleep(0.01)
      end
      local first = whose()
      local reads_then = reads
      gate:post()
      return { first, reads_then, switch "off", most + 1 }
    ]]
    )
  end)

  it("keeps ours where Kong's entities can't be read, and hands over with the next change", function()
    local server = serving()
    assert.same(
      { "ours", "Kong's" },
      server:eval [[
      local reads = 0
      kong.db.plugins = { each = function()
        return function()
          reads = reads + 1
          return false, "the database is away"
        end
      end }
      handler:configure({ { pdk = "off" } })
      while reads == 0 or kong.vault.get == kongs.get do
        ngx.sleep(0.01)
      end
      local meanwhile = whose()
      holds("plugins", {})
      return { meanwhile, switch "off" }
    ]]
    )
    assert.matches(
      "pdk = off has no effect until the next change of plugins: the database is away",
      server:log(),
      1,
      true
    )
  end)

  it("gives them back under calls that wait, and plugins may have kept ours", function()
    local server = serving()
    assert.same(
      { "of a custom vault", "Kong's", "Kong's", "of a custom vault", true },
      server:eval [[
      local gate = require("ngx.semaphore").new()
      local entered = require("ngx.semaphore").new()
      local look_again = require("kong.vault.gateway.entities").look_again
      require("kong.vault.gateway.entities").look_again = function()
        entered:post()
        assert(gate:wait(30))
        return look_again()
      end
      entities[2].prefix = "renamed"
      require("kong.vault.gateway.entities").refresh()
      local kept = { get = kong.vault.get, try = kong.vault.try, warmup = kong.vault.warmup, flush = kong.vault.flush }
      kong.configuration.loaded_vaults.custom = nil
      local asking = ngx.thread.spawn(kong.vault.get, "{vault://custom/x}")
      assert(entered:wait(30))
      kong.configuration.loaded_vaults.custom = true
      local one, two = ngx.thread.spawn(switch, "off"), ngx.thread.spawn(switch, "off")
      local switched = { select(2, ngx.thread.wait(one)), select(2, ngx.thread.wait(two)) }
      gate:post(10)
      local found = { select(2, ngx.thread.wait(asking)) }
      kept.flush()
      kept.warmup({ "{vault://hcv/kept/value}" })
      local tried = kept.try(function() return true end, { ["$refs"] = { a = "{vault://hcv/kept/value}" } })
      return { found[1], switched[1], switched[2], kong.vault.get "{vault://custom/x}", tried }
    ]]
    )
  end)
end)
