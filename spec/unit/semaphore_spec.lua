-- What an ngx_lua lacks that is older, or is packaged without lua-resty-core.

local fake_native = require "spec.support.fake_native"
local fake_ngx = require "spec.support.fake_ngx"

describe("without ngx.semaphore", function()
  local worker, semaphore

  before_each(function()
    worker = fake_ngx.new({ native = fake_native.new() })
    worker.modules["ngx.semaphore"] = nil
    semaphore = worker:load "kong.vault.semaphore"
  end)

  -- Has a coroutine wait; the table that it returns gets what the wait came to.
  local function wait(one, seconds)
    local result = {}
    worker:spawn(function()
      result.ok, result.err = one:wait(seconds)
      result.at = worker.time
    end)
    return result
  end

  it("a post ends as many waits as it says, within milliseconds", function()
    local one = semaphore.new(0)
    local first, second, third = wait(one, 10), wait(one, 10), wait(one, 10)
    worker:advance(1)
    assert.is_nil(first.at)
    local posted = worker.time
    one:post(2)
    worker:advance(0.01)
    assert.same({ true, true, nil }, { first.ok, second.ok, third.ok })
    assert.is_true(first.at - posted <= 0.01)
    one:post(1)
    worker:advance(0.01)
    assert.is_true(third.ok)
  end)

  it("a wait does not wait for what is there", function()
    local one = semaphore.new(1)
    assert.is_true(wait(one, 10).ok)
    assert.is_nil(wait(one, 10).ok)
  end)

  it("a wait ends when its time is over", function()
    local result = wait(semaphore.new(0), 0.012)
    worker:advance(0.011)
    assert.is_nil(result.at)
    worker:advance(0.002)
    assert.same({ nil, "timeout" }, { result.ok, result.err })
  end)

  it("requests wait for a fetch as with it", function()
    local waiters = worker:load "kong.vault.waiters"
    local results = {}
    for i = 1, 3 do
      worker:spawn(function()
        results[i] = waiters.wait(waiters.record(7), 600)
      end)
    end
    worker:advance(60)
    assert.same({}, results)
    waiters.complete(7)
    worker:advance(0.01)
    assert.same({ true, true, true }, results)
  end)
end)
