-- Texts with references inside, and views of tables, from the environment.

local fresh = require "spec.support.fresh"

describe("interpolate", function()
  local vault = fresh()

  for template, expected in pairs({
    ["Bearer {vault://env/unit-secret}"] = "Bearer from the environment",
    ["{vault://env/unit-secret}"] = "from the environment",
    ["{vault://env/unit-json/user}:{vault://env/unit-secret#2}"] = "kong:from before",
    ["{vault://env/unit-secret}{vault://env/unit-secret}!"] = "from the environmentfrom the environment!",
    ["no {reference} in { it }"] = "no {reference} in { it }",
    ["}{vault://env/unit-empty}{"] = "}{",
    ["a\0b {vault://env/unit-json/user}\0"] = "a\0b kong\0",
    [""] = "",
  }) do
    it(("resolves %q"):format(template), function()
      local text, err = vault.interpolate(template)
      assert.is_nil(err)
      assert.equal(expected, text)
      assert.equal(1, select("#", vault.interpolate(template)))
    end)
  end

  -- Values are no templates: who can write a secret cannot have another one read.
  it("does not resolve what a value holds", function()
    assert.equal("<{vault://env/unit-secret}>", vault.interpolate "<{vault://env/unit-reference}>")
  end)

  for template, reason in pairs({
    ["Bearer {vault://env/unit-missing}"] = "no environment variable UNIT_MISSING",
    ["{vault://env/unit-secret} {vault://env/unit-missing} {vault://env/unit-secret}"] = "UNIT_MISSING",
    ["Bearer {vault://env/unit-secret"] = 'the reference at character 8 does not end: add a "}"',
    ["{vault://nope/x}!"] = "could not find vault (nope)",
    ["{vault://}"] = "reference",
  }) do
    it(("says why %q has no value"):format(template), function()
      local text, err = vault.interpolate(template)
      assert.is_nil(text)
      assert.matches(reason, err, 1, true)
      assert.is_nil(err:find("from the environment", 1, true))
    end)
  end

  it("raises where it is not given a text", function()
    for _, odd in ipairs({ 5, true, {} }) do
      local done, err = pcall(vault.interpolate, odd)
      assert.is_false(done)
      assert.matches("bad argument #1 to 'interpolate' (string expected", err, 1, true)
    end
  end)
end)

describe("table", function()
  local vault = fresh()
  local config, view

  before_each(function()
    config = {
      user = "{vault://env/unit-json/user}",
      header = "Basic {vault://env/unit-secret}",
      missing = "x {vault://env/unit-missing}",
      port = 5432,
      on = false,
      list = { "plain", "{vault://env/unit-secret#2}", { deep = "{vault://env/unit-secret}" } },
    }
    view = vault.table(config)
  end)

  it("resolves fields as they are read, nested ones too, and leaves the others", function()
    assert.equal("kong", view.user)
    assert.equal("Basic from the environment", view.header)
    assert.equal(5432, view.port)
    assert.is_false(view.on)
    assert.is_nil(view.nothing)
    assert.equal("plain", view.list[1])
    assert.equal("from before", view.list[2])
    assert.equal("from the environment", view.list[3].deep)
  end)

  it("keeps the references in the table, and follows it", function()
    assert.equal("kong", view.user)
    assert.equal("{vault://env/unit-json/user}", config.user)
    config.user = "{vault://env/unit-secret}"
    assert.equal("from the environment", view.user)
  end)

  it("has no value for a field that cannot be resolved, and says why where it is called", function()
    assert.is_nil(view.missing)
    local value, err = view "missing"
    assert.is_nil(value)
    assert.matches("UNIT_MISSING", err, 1, true)
    assert.same({ "kong" }, { view "user" })
  end)

  it("cannot be written to, and hides the table", function()
    local done, err = pcall(function()
      view.user = "other"
    end)
    assert.is_false(done)
    assert.matches("field user cannot be set: this is a read-only view", err, 1, true)
    assert.is_false(getmetatable(view))
    assert.is_nil(next(view))
  end)

  -- LuaJIT without what Lua 5.2 has does not ask for these.
  it("has values to iterate over, where LuaJIT asks a table for them", function()
    local meta = debug.getmetatable(view)
    local seen = {}
    for key, value in meta.__pairs(view) do
      seen[key] = value
    end
    assert.equal("kong", seen.user)
    assert.equal(5432, seen.port)
    assert.is_false(seen.on)
    assert.equal("from before", seen.list[2])
    assert.is_nil(seen.missing)
    local list, places = debug.getmetatable(view.list), {}
    for place, value in list.__ipairs(view.list) do
      places[place] = type(value) == "table" and value.deep or value
    end
    assert.same({ "plain", "from before", "from the environment" }, places)
    assert.equal(3, list.__len(view.list))
  end)

  it("does not end its list where a value is missing", function()
    local holes = vault.table({ "{vault://env/unit-missing}", "{vault://env/unit-secret}" })
    local places = {}
    for place, value in debug.getmetatable(holes).__ipairs(holes) do
      places[place] = value
    end
    assert.same({ [2] = "from the environment" }, places)
  end)

  it("is one view of one table, which may contain itself", function()
    config.self = config
    assert.equal(view, vault.table(config))
    assert.equal("kong", view.self.self.user)
  end)

  it("does not keep its table alive", function()
    local weak = setmetatable({ {} }, { __mode = "v" })
    assert.is_table(vault.table(weak[1]))
    collectgarbage()
    collectgarbage()
    assert.is_nil(weak[1])
  end)
end)
