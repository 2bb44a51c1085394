-- Which references `try` has fetched again, with pretended values.

local fake_native = require "spec.support.fake_native"
local fake_ngx = require "spec.support.fake_ngx"

local A, B = "{vault://hcv/a}", "{vault://hcv/b}"

describe("try", function()
  local try
  -- Values by reference; and the lists that were renewed: which references, and since when.
  local values, renewals
  -- What the next renewal brings, by reference.
  local newer

  before_each(function()
    local native = fake_native.new()
    function native.vm.cached(_, reference)
      return values[reference]
    end
    local worker = fake_ngx.new({ native = native })
    values, renewals, newer = {}, {}, {}
    local resolve = {
      clock = function()
        return 7
      end,
      cached = function(reference)
        if values[reference] == nil then
          return nil, "there is none", false
        end
        return values[reference], nil, true
      end,
      renew = function(references, since)
        for _, reference in ipairs(references) do
          renewals[#renewals + 1] = { reference, since }
          values[reference] = newer[reference] or values[reference]
        end
        return 0
      end,
    }
    try = worker:load("kong.vault.try", { ["kong.vault.resolve"] = resolve }).try
  end)

  -- A callback that wants one value of A, and the values that it was given. `meanwhile` runs within its first call.
  local function wants(wanted, meanwhile)
    local seen = {}
    return function(config)
      seen[#seen + 1] = config.a
      if #seen == 1 and meanwhile then
        meanwhile()
      end
      return config.a == wanted, "it is another"
    end,
      seen
  end

  local function config()
    return { ["$refs"] = { a = A, b = B } }
  end

  it("renews nothing for a callback that succeeds", function()
    values = { [A] = "v1", [B] = "b" }
    local callback, seen = wants "v1"
    assert.is_true(try(callback, config()))
    assert.same({ "v1" }, seen)
    assert.same({}, renewals)
  end)

  it("renews all references since its call, where none has changed", function()
    values, newer = { [A] = "v1", [B] = "b" }, { [A] = "v2" }
    local callback, seen = wants "v2"
    assert.is_true(try(callback, config()))
    assert.same({ "v1", "v2" }, seen)
    table.sort(renewals, function(one, other)
      return one[1] < other[1]
    end)
    assert.same({ { A, 7 }, { B, 7 } }, renewals)
  end)

  -- Its fetch may have begun before the call, in this worker or another: the engine knows, and answers without a fetch otherwise.
  it("asks for a value since its call, where one arrived during the callback", function()
    values, newer = { [B] = "b" }, { [A] = "v2" }
    local callback, seen = wants("v2", function()
      values[A] = "v1"
    end)
    assert.is_true(try(callback, config()))
    assert.same({ "", "v2" }, seen)
    assert.same({ A, 7 }, renewals[1])
  end)

  -- The callback may have failed for any of them.
  it("renews what has not changed, too, where another value arrived", function()
    values, newer = { [B] = "v1" }, { [B] = "v2" }
    local seen = {}
    local ok = try(function(given)
      seen[#seen + 1] = given.b
      values[A] = "a"
      return given.b == "v2"
    end, config())
    assert.is_true(ok)
    assert.same({ "v1", "v2" }, seen)
    assert.same({ { A, 7 }, { B, 7 } }, renewals)
  end)

  it("calls the callback twice at most, and returns what the second call returned", function()
    values = { [A] = "v1", [B] = "b" }
    local callback, seen = wants "v3"
    local ok, err = try(callback, config())
    assert.is_false(ok)
    assert.equal("it is another", err)
    assert.same({ "v1", "v1" }, seen)
  end)
end)
