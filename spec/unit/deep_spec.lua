-- Tables of others, nested deeper than Lua's stack is, or in themselves.

local fresh = require "spec.support.fresh"

local REFERENCE, VALUE = "{vault://env/unit-secret}", "from the environment"
local DEPTH = 100000

-- A table with `innermost` in it, that deep, each within the one before under the key that `key` makes.
local function deep(innermost, key)
  local outermost = innermost
  for _ = 1, DEPTH do
    outermost = { [key or "inner"] = outermost }
  end
  return outermost
end

describe("tables of any depth", function()
  local vault = fresh()

  it("are brought up to date", function()
    local innermost = { ["$refs"] = { key = REFERENCE, list = { REFERENCE } }, list = {} }
    vault.update(deep(innermost))
    assert.equal(VALUE, innermost.key)
    assert.equal(VALUE, innermost.list[1])
  end)

  it("are searched for references, as values and as keys", function()
    local refs = require "kong.vault.refs"
    assert.same({ REFERENCE }, refs.find(deep({ REFERENCE })))
    assert.same({ REFERENCE }, refs.find(deep({ { [{ [REFERENCE] = true }] = 1 } }, 1)))
    assert.same({ REFERENCE }, refs.declared(deep({ ["$refs"] = deep({ REFERENCE }) })))
    vault.warmup(deep({ REFERENCE }))
  end)

  it("may stand in themselves", function()
    local refs = require "kong.vault.refs"
    local config = { ["$refs"] = { key = REFERENCE } }
    config.self, config[config], config.others = config, config, { config, { config } }
    config["$refs"].self = config["$refs"]
    assert.equal(VALUE, vault.update(config).key)
    assert.same({ REFERENCE }, refs.find(config))
    assert.same({ REFERENCE }, refs.declared(config))
  end)

  it("cost each value once", function()
    local list = {}
    for at = 1, DEPTH do
      list[at] = { key = 0 / 0, [at] = REFERENCE, no = false }
    end
    list[#list + 1] = list
    assert.same({ REFERENCE }, require("kong.vault.refs").find({ list, list, { list } }))
  end)
end)
