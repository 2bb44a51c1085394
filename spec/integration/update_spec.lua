-- `update` and `try`: tables whose `$refs` say which of their fields are secrets.

local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local nginx = require "spec.support.nginx"
local wait = require "spec.support.wait"

local LOAD = [[ require "kong.vault" ]]

-- Tables that live as long as the worker, as a plugin's configuration does: `config(name, make)`.
local KEPT = [[
  local kept = {}
  function config(name, make)
    kept[name] = kept[name] or make()
    return kept[name]
  end
]]

describe("update", function()
  local vault

  setup(function()
    vault = fake.start()
  end)

  teardown(cleanup.run)

  local function start(more)
    more = more or {}
    more.env = more.env or {}
    more.env.KONG_VAULT_HCV_PORT = vault.port
    more.env.OF_THE_SPECS = "from the environment"
    more.init = LOAD .. KEPT
    return nginx.start(more)
  end

  describe("in one worker", function()
    local server

    setup(function()
      server = start()
    end)

    it("sets fields, arrays, maps and nested tables, and returns the table", function()
      assert.same({
        true,
        "value of shapes",
        "from the environment",
        "value of shapes,1,plain",
        "value of other",
        "plain",
        "value of other",
        "value of deep",
        2,
        1,
      }, {
        server:eval [[
            local t = config("shapes", function()
              return {
                ["$refs"] = {
                  user = "{vault://hcv/shapes/value}",
                  pass = "{vault://env/of-the-specs}",
                  list = { "{vault://hcv/shapes/value}", "{vault://hcv/shapes/count}" },
                  map = { a = "{vault://hcv/other/value}" },
                  absent = { x = "{vault://hcv/other/value}" },
                },
                user = "old", plain = 1, list = { "old", "old", "plain" }, map = { a = "old", b = "plain" },
                inner = { also = { ["$refs"] = { key = "{vault://hcv/deep/value}" }, key = "old", plain = 2 } },
              }
            end)
            assert(require("kong.vault").warmup(t))
            local same = require("kong.vault").update(t) == t
            return same, t.user, t.pass, table.concat(t.list, ","), t.map.a, t.map.b, t.absent.x, t.inner.also.key,
              t.inner.also.plain, t.plain
          ]],
      })
      assert.equal(1, vault:count "/v1/secret/shapes")
    end)

    it("returns what is no table, and tables without references, as they are", function()
      assert.same({ true, "text", nil, 1 }, {
        server:eval [[
            local update = require("kong.vault").update
            local plain = { a = "{vault://env/of-the-specs}" }
            return update(plain) == plain and plain.a == "{vault://env/of-the-specs}", update("text"), update(nil),
              update({ 1 })[1]
          ]],
      })
    end)

    it("walks a table that holds itself", function()
      assert.equal(
        "from the environment",
        server:eval [[
          local t = { ["$refs"] = { a = "{vault://env/of-the-specs}" } }
          t.itself = t
          return require("kong.vault").update(t).a
        ]]
      )
    end)

    it("takes from the cache only: sets nothing but text, warns once, and has the value on a later call", function()
      vault:route("/v1/secret/cold", { gate = "cold" })
      local UPDATE = [[
        local t = config("cold", function()
          return { ["$refs"] = { a = "{vault://hcv/cold/value}", b = { "{vault://hcv/cold/count}" } }, a = "old" }
        end)
        ngx.update_time()
        local began = ngx.now()
        require("kong.vault").update(t)
        ngx.update_time()
        return t.a, t.b[1], ngx.now() - began
      ]]
      for _ = 1, 20 do
        local a, b, took = server:eval(UPDATE)
        assert.same({ "", "" }, { a, b })
        assert.is_true(took < wait.bound(0.1), took)
      end
      vault:await("cold", 1)
      vault:open "cold"
      wait.eventually("the value is there", function()
        return server:eval(UPDATE) == "value of cold"
      end, 0.5)
      assert.equal(1, vault:count "/v1/secret/cold")
      assert.equal(1, server:logged "error updating secret reference {vault://hcv/cold/value}")
      assert.equal(1, server:logged "error updating secret reference {vault://hcv/cold/count}")
    end)

    it("shows no option of a reference in the log, as somebody may have put a token there", function()
      assert.equal("", (server:eval [[
          local reference = "{vault://hcv/forbidden/value?token=hunter2\\n}"
          return require("kong.vault").update({ ["$refs"] = { a = reference } }).a
        ]]))
      local log = server:log()
      assert.equal(1, server:logged "error updating secret reference {vault://hcv/forbidden/value?…}")
      assert.is_nil(log:find("hunter2", 1, true))
    end)

    it("does not stall or flood where a value can't be had for long", function()
      vault:route("/v1/secret/gone", { status = 404, body = '{"errors":[]}' })
      for _ = 1, 200 do
        assert.equal("", (server:eval [[
            return require("kong.vault").update(config("gone", function()
              return { ["$refs"] = { a = "{vault://hcv/gone/value}" } }
            end)).a
          ]]))
      end
      -- Whether or not failures are remembered, requests must not each become one to the vault.
      assert.is_true(vault:count "/v1/secret/gone" <= 5, vault:count "/v1/secret/gone")
      assert.is_true(server:logged "error updating secret reference {vault://hcv/gone/value}" <= 2)
    end)

    it("leaves a table that is up to date alone, and brings it the new value after a flush", function()
      local UPDATE = [[
        local t = config("flushed", function()
          return { ["$refs"] = { a = "{vault://hcv/flushed/count}" } }
        end)
        if ... then require("kong.vault").get("{vault://hcv/flushed/count}") end
        require("kong.vault").update(t)
        local value = t.a
        t.a = "touched"
        require("kong.vault").update(t)
        local left = t.a
        t.a = value
        return value, left
      ]]
      assert.same({ "1", "touched" }, { server:eval(UPDATE, true) })
      assert.is_true(server:eval "return require('kong.vault').flush()")
      wait.eventually("the new value is set", function()
        return server:eval(UPDATE) == "2"
      end)
      assert.same({ "2", "touched" }, { server:eval(UPDATE) })
      assert.equal(2, vault:count "/v1/secret/flushed")
    end)
  end)

  it("brings new values after a rotation without anybody waiting", function()
    local server = start({ env = { KONG_VAULT_HCV_TTL = "0.3" } })
    local UPDATE = [[
      local t = config("rotated", function()
        return { ["$refs"] = { a = "{vault://hcv/rotated/count}" } }
      end)
      if ... then require("kong.vault").get("{vault://hcv/rotated/count}") end
      return require("kong.vault").update(t).a
    ]]
    assert.equal("1", (server:eval(UPDATE, true)))
    local last = 1
    wait.eventually("it was rotated a few times", function()
      local value = tonumber((server:eval(UPDATE)))
      assert(value and value >= last, tostring(value))
      last = value
      return value >= 4
    end)
    assert.is_nil(server:log():find("error updating", 1, true))
  end)

  it("works in every phase", function()
    local server = start({
      server = [[
        location = /phases {
          set_by_lua_block $x { return note() }
          rewrite_by_lua_block { note() }
          access_by_lua_block { note() }
          content_by_lua_block { note(); ngx.print "done" }
          header_filter_by_lua_block { note() }
          body_filter_by_lua_block { note() }
          log_by_lua_block { note(); ngx.timer.at(0, note) }
        }
      ]],
      http = [[
        init_worker_by_lua_block {
          function note()
            local t = { ["$refs"] = { a = "{vault://hcv/phases/value}", b = "{vault://env/of-the-specs}" } }
            ngx.shared.results:set("phase " .. ngx.get_phase(), require("kong.vault").update(t) == t and t.a .. t.b)
          end
          require("kong.vault").get "{vault://hcv/phases/value}"
          note()
        }
      ]],
    })
    assert.equal("done", server:get("/phases").body)
    for _, phase in ipairs({
      "init_worker",
      "set",
      "rewrite",
      "access",
      "content",
      "header_filter",
      "body_filter",
      "log",
      "timer",
    }) do
      wait.eventually("it was updated in " .. phase, function()
        local noted = server:eval("return ngx.shared.results:get(...)", "phase " .. phase)
        return noted == "value of phasesfrom the environment" or (noted and error(phase .. ": " .. tostring(noted)))
      end)
    end
  end)
end)

describe("try", function()
  local vault, server

  setup(function()
    vault = fake.start()
    server = nginx.start({
      env = { KONG_VAULT_HCV_PORT = vault.port, KONG_VAULT_FETCH_TIMEOUT = "20" },
      init = LOAD .. KEPT,
    })
  end)

  teardown(cleanup.run)

  -- Calls `try` with a callback that wants the field `a` to be `wanted`; returns its results and its number of calls.
  local TRY = [[
    local name, wanted = ...
    local vault, calls = require "kong.vault", 0
    local options = { ["$refs"] = { a = "{vault://hcv/" .. name .. "/count}" } }
    local result, err = vault.try(function(given)
      assert(given == options)
      calls = calls + 1
      if given.a == wanted then return "with " .. given.a, "second" end
      return nil, "refused " .. given.a
    end, options)
    return result, err, calls
  ]]

  it("calls once where that succeeds, and passes on what it returns", function()
    assert.equal("1", (server:value "{vault://hcv/good/count}"))
    assert.same({ "with 1", "second", 1 }, { server:eval(TRY, "good", "1") })
    assert.equal(1, vault:count "/v1/secret/good")
  end)

  it("has the values fetched anew where it fails, and calls a second time", function()
    assert.equal("1", (server:value "{vault://hcv/replaced/count}"))
    assert.same({ "with 2", "second", 2 }, { server:eval(TRY, "replaced", "2") })
    assert.equal(2, vault:count "/v1/secret/replaced")
    -- And everybody has the new value.
    assert.equal("2", (server:value "{vault://hcv/replaced/count}"))
  end)

  it("never calls a third time", function()
    assert.equal("1", (server:value "{vault://hcv/never/count}"))
    assert.same({ nil, "refused 2", 2 }, { server:eval(TRY, "never", "none") })
    assert.equal(2, vault:count "/v1/secret/never")
  end)

  it("has values that nobody asked for yet", function()
    local result, _, calls = server:eval(TRY, "first-seen", "1")
    assert.equal("with 1", result)
    assert.is_true(calls <= 2)
    assert.equal(1, vault:count "/v1/secret/first-seen")
  end)

  it("calls once without references, and passes on what it returns", function()
    for _, options in ipairs({ "{}", "{ a = 1 }", "nil" }) do
      assert.same({ nil, "no", 1 }, {
        server:eval(([[
            local calls = 0
            local result, err = require("kong.vault").try(function() calls = calls + 1 return nil, "no" end, %s)
            return result, err, calls
          ]]):format(options)),
      })
    end
  end)

  it("keeps the old value, and calls again, where no new one can be had", function()
    assert.equal("1", (server:value "{vault://hcv/forbidden/count}"))
    vault:route("/v1/secret/forbidden", { status = 403, body = '{"errors":["permission denied"]}' })
    assert.same({ nil, "refused 1", 2 }, { server:eval(TRY, "forbidden", "2") })
    assert.equal("1", (server:value "{vault://hcv/forbidden/count}"))
  end)

  it("lets an error of the callback out", function()
    local raised, err = server:eval [[
      local ok, err = pcall(require("kong.vault").try, function() error("mine", 0) end,
        { ["$refs"] = { a = "{vault://env/none}" } })
      return not ok, err
    ]]
    assert.same({ true, "mine" }, { raised, err })
  end)

  -- 100 light threads that all fail with the old value; returns how many succeeded, and the most calls of one.
  local CROWD = [[
    local name, wanted, number = ...
    local vault, semaphore = require "kong.vault", require("ngx.semaphore").new(0)
    local ready, good, most, threads = 0, 0, 0, {}
    for i = 1, number do
      threads[i] = ngx.thread.spawn(function()
        local calls = 0
        local options = { ["$refs"] = { a = "{vault://hcv/" .. name .. "/count}" } }
        local result = vault.try(function(given)
          calls = calls + 1
          if calls == 1 then
            -- All have the old value in their hands before the first of them says that it failed.
            ready = ready + 1
            if ready == number then semaphore:post(number - 1) else assert(semaphore:wait(10)) end
          end
          return given.a == wanted
        end, options)
        good, most = good + (result and 1 or 0), math.max(most, calls)
      end)
    end
    for i = 1, number do assert(ngx.thread.wait(threads[i])) end
    return good, most
  ]]

  it("has values fetched once for a hundred who fail at the same time", function()
    assert.equal("1", (server:value "{vault://hcv/crowd/count}"))
    vault:route("/v1/secret/crowd", { delay = 0.05 })
    assert.same({ 100, 2 }, { server:eval(CROWD, "crowd", "2", 100) })
    assert.equal(2, vault:count "/v1/secret/crowd")
  end)

  it("does not fetch where somebody else has brought new values already", function()
    assert.equal("1", (server:value "{vault://hcv/meanwhile/count}"))
    local result, calls = server:eval [[
      local vault, calls = require "kong.vault", 0
      local result = vault.try(function(given)
        calls = calls + 1
        if calls == 1 then
          -- As if another coroutine had done so while this one was failing.
          vault.flush()
          assert(vault.get("{vault://hcv/meanwhile/count}") == "2")
          return nil
        end
        return given.a
      end, { ["$refs"] = { a = "{vault://hcv/meanwhile/count}" } })
      return result, calls
    ]]
    assert.same({ "2", 2 }, { result, calls })
    assert.equal(2, vault:count "/v1/secret/meanwhile")
  end)

  it("does not ask the vault for each request of a database that is down", function()
    assert.equal("1", (server:value "{vault://hcv/down/count}"))
    for _ = 1, 50 do
      local result, _, calls = server:eval(TRY, "down", "none")
      assert.same({ nil, 2 }, { result, calls })
    end
    assert.is_true(vault:count "/v1/secret/down" <= 4, vault:count "/v1/secret/down")
  end)

  it("ends well", function()
    assert.equal(0, server:stop("QUIT", 10))
    assert.same({}, server:flaws())
  end)
end)
