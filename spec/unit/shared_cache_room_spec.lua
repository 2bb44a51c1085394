-- The node's cache where the shared dictionary is full.

local fake_native = require "spec.support.fake_native"
local fake_node = require "spec.support.fake_node"

local NAME, OTHER = ("d"):rep(32), ("e"):rep(32)
local DOCUMENT = "kong-vault:" .. NAME

describe("the node's cache without room", function()
  local node, dict

  -- A key of Kong's own, and a document of ours by number.
  local KONGS = ("k"):rep(22) .. ".{vault://env/x}"

  local function document(number)
    return "kong-vault:" .. ("%032d"):format(number)
  end

  local function store(worker, name, sealed)
    fake_node.complete(worker, 1, fake_native.order("PUBLISH", name, { rest = sealed, seconds = 60 }))
  end

  -- Publishes `sealed` under NAME in a dictionary of so many bytes that `fill` fills.
  local function publish(bytes, fill, sealed)
    node = fake_node.new(bytes)
    dict = node.dict
    fill()
    local one = node:worker()
    store(one, NAME, sealed)
    return one
  end

  it("makes room by removing the documents that were not used for longest, and keeps Kong's keys and claims", function()
    local claim = "kong-vault:claim:" .. OTHER
    local one = publish(8600, function()
      dict:set(KONGS, ("x"):rep(100))
      dict:set(claim, "two@1")
      for number = 1, 60 do
        dict:set(document(number), ("x"):rep(90))
      end
    end, ("s"):rep(100))
    assert.equal(("s"):rep(100), dict:get(DOCUMENT))
    assert.truthy(dict:get(KONGS))
    assert.truthy(dict:get(claim))
    assert.is_nil(dict:get(document(1)))
    assert.truthy(dict:get(document(60)))
    assert.same({}, one.ngx:logged())
    assert.is_true(dict:free_space() >= 8600 / 8 - 200)
  end)

  it("removes nothing while there is enough of it", function()
    publish(20000, function()
      for number = 1, 60 do
        dict:set(document(number), ("x"):rep(90))
      end
    end, "sealed")
    for number = 1, 60 do
      assert.truthy(dict:get(document(number)))
    end
  end)

  it("reaches past Kong's keys where those are the ones that were not used for longest", function()
    publish(14000, function()
      for number = 1, 70 do
        dict:set(KONGS .. number, ("x"):rep(50))
      end
      for number = 1, 50 do
        dict:set(document(number), ("x"):rep(90))
      end
    end, ("s"):rep(100))
    assert.truthy(dict:get(DOCUMENT))
    assert.is_nil(dict:get(document(1)))
    assert.truthy(dict:get(KONGS .. 1))
  end)

  it("makes room where nginx can't say how much is left, and refuses the document", function()
    local one = publish(8600, function()
      dict.free_space = false
      for number = 1, 40 do
        dict:set(KONGS .. number, ("x"):rep(50))
      end
      for number = 1, 37 do
        dict:set(document(number), ("x"):rep(90))
      end
    end, ("s"):rep(200))
    assert.equal(("s"):rep(200), dict:get(DOCUMENT))
    assert.is_nil(dict:get(document(1)))
    assert.truthy(dict:get(KONGS .. 1))
    assert.same({}, one.ngx:logged())
  end)

  it("says once that a document finds none, and once more after one found some", function()
    local one = publish(4000, function()
      for number = 1, 42 do
        dict:set(KONGS .. number, ("x"):rep(50))
      end
    end, ("s"):rep(450))
    local function warnings()
      local lines = one.ngx:logged()
      for _, line in ipairs(lines) do
        assert.matches("^WARN kong.vault: the shared dictionary kong_secrets .*no memory", line)
      end
      return #lines
    end
    assert.equal(1, warnings())
    store(one, NAME, ("s"):rep(450))
    assert.equal(0, warnings())
    store(one, NAME, "s")
    store(one, OTHER, ("s"):rep(450))
    assert.equal(1, warnings())
  end)

  it("removes nothing for a document that is larger than what is kept free", function()
    local one = publish(4000, function()
      for number = 1, 10 do
        dict:set(document(number), ("x"):rep(300))
      end
    end, ("s"):rep(600))
    for number = 1, 10 do
      assert.truthy(dict:get(document(number)))
    end
    assert.equal(1, #one.ngx:logged())
  end)
end)
