-- How tables are brought up to date, with pretended values.

local fake_native = require "spec.support.fake_native"
local fake_ngx = require "spec.support.fake_ngx"

local A, B, C = "{vault://env/a}", "{vault://env/b}", "{vault://env/c}"

describe("update", function()
  local native, worker, update, l1
  -- Values by reference; those that may not be kept; and how often each reference was looked up.
  local values, fleeting, looked_up

  before_each(function()
    native = fake_native.new()
    worker = fake_ngx.new({ native = native })
    values, fleeting, looked_up = { [A] = "a", [B] = "b" }, {}, {}
    local resolve = {
      cached = function(reference)
        looked_up[reference] = (looked_up[reference] or 0) + 1
        local value = values[reference]
        if value == nil then
          return nil, "there is none", false
        end
        return value, nil, not fleeting[reference]
      end,
    }
    update = worker:load("kong.vault.update", { ["kong.vault.resolve"] = resolve })
    l1 = worker:load "kong.vault.l1"
  end)

  local function is_marked(config)
    return l1.moved() == 0 and l1.updated[config] == true
  end

  -- The generation moves: some value is over.
  local function move()
    native.generation[0] = native.generation[0] + 1
  end

  it("sets the fields that $refs names, and leaves the others", function()
    local config = { one = A, other = C, ["$refs"] = { one = A, two = B } }
    assert.equal(config, update.all(config))
    assert.same({ one = "a", two = "b", other = C, ["$refs"] = { one = A, two = B } }, config)
    assert.is_nil(looked_up[C])
  end)

  it("sets the items of arrays and maps, and makes those that are missing", function()
    local config = {
      list = { "first", A },
      ["$refs"] = { list = { [2] = A }, map = { user = B }, mixed = { A, "no reference" } },
    }
    update.all(config)
    assert.same({ "first", "a" }, config.list)
    assert.same({ user = "b" }, config.map)
    assert.same({ "a" }, config.mixed)
  end)

  it("puts a map in the place of a text that $refs has references below", function()
    local config = { map = "text", ["$refs"] = { map = { user = B } } }
    update.all(config)
    assert.same({ user = "b" }, config.map)
  end)

  it("goes into nested tables, each with $refs of its own, but not into $refs", function()
    local inner = { ["$refs"] = { key = A } }
    local config = { ["$refs"] = { x = { ["$refs"] = { y = B } } }, list = { { inner } } }
    update.all(config)
    assert.equal("a", inner.key)
    assert.is_nil(looked_up[B])
  end)

  it("comes to an end where tables stand in themselves", function()
    local config = { ["$refs"] = { key = A } }
    config.self = config
    update.all(config)
    assert.equal("a", config.key)
    assert.equal(1, looked_up[A])
  end)

  it("ignores what is no table of references", function()
    for _, odd in ipairs({ "text", 5, true }) do
      local config = { ["$refs"] = odd, key = "kept" }
      update.all(config)
      assert.equal("kept", config.key)
    end
    local config = { ["$refs"] = { key = "no reference", number = 5 }, key = "kept" }
    update.all(config)
    assert.equal("kept", config.key)
  end)

  describe("where all values are there", function()
    it("knows the table as up to date until the generation moves", function()
      local config = { ["$refs"] = { key = A } }
      update.all(config)
      assert.is_true(is_marked(config))
      move()
      assert.is_false(is_marked(config))
      values[A] = "a2"
      update.all(config)
      assert.equal("a2", config.key)
      assert.is_true(is_marked(config))
    end)

    it("does not take a table for up to date whose values may not be kept", function()
      local config = { ["$refs"] = { key = A, other = B } }
      fleeting[B] = true
      update.all(config)
      assert.same({ "a", "b" }, { config.key, config.other })
      assert.is_false(is_marked(config))
    end)

    it("does not take a table for up to date where the generation moves meanwhile", function()
      local config = { ["$refs"] = { key = A } }
      values = setmetatable({}, {
        __index = function()
          move()
          return "a"
        end,
      })
      update.all(config)
      assert.equal("a", config.key)
      assert.is_nil(l1.updated[config])
    end)
  end)

  describe("where a value is missing", function()
    local config

    before_each(function()
      config = { old = "of before", ["$refs"] = { old = C, key = A } }
      update.all(config)
    end)

    it("empties the field, sets the others, and warns", function()
      assert.equal("", config.old)
      assert.equal("a", config.key)
      assert.is_false(is_marked(config))
      assert.same(
        { "WARN kong.vault: error updating secret reference {vault://env/c}: there is none" },
        worker:logged()
      )
    end)

    it("leaves the table alone for a second", function()
      worker:advance(0.9)
      assert.equal(config, update.all(config))
      assert.equal(1, looked_up[C])
      worker:advance(0.1)
      update.all(config)
      assert.equal(2, looked_up[C])
    end)

    it("tries the table again as soon as the value is there", function()
      update.all(config)
      assert.equal(1, looked_up[C])
      values[C], native.cached[C] = "c", "c"
      update.all(config)
      assert.equal("c", config.old)
      assert.is_true(is_marked(config))
    end)

    it("tries the table again as soon as the generation moves", function()
      move()
      update.all(config)
      assert.equal(2, looked_up[C])
    end)

    it("leaves other tables to be tried", function()
      local other = { ["$refs"] = { key = C } }
      update.all(other)
      assert.equal(2, looked_up[C])
    end)

    it("does not warn again of the same, but of another reason, and after the value was there", function()
      worker:logged()
      worker:advance(1)
      update.all(config)
      update.all({ ["$refs"] = { key = C } })
      assert.same({}, worker:logged())
      values[C] = "c"
      worker:advance(1)
      update.all(config)
      values[C] = nil
      move()
      update.all(config)
      assert.equal(1, #worker:logged())
    end)

    it("forgets the table with its owner", function()
      local collected = setmetatable({}, { __mode = "k" })
      local function use()
        local short = { ["$refs"] = { key = C } }
        collected[short] = true
        update.all(short)
      end
      use()
      collectgarbage()
      collectgarbage()
      assert.is_nil(next(collected))
    end)
  end)
end)
