-- How a coroutine waits for fetches, with the listener and without.

local fake_native = require "spec.support.fake_native"
local fake_ngx = require "spec.support.fake_ngx"

describe("a wait", function()
  local native, worker, wait, listener, waiters

  local function start(options)
    native = fake_native.new(options or { address = "me" })
    worker = fake_ngx.new({ native = native })
    wait = worker:load "kong.vault.wait"
    listener = worker:load "kong.vault.listener"
    waiters = worker:load "kong.vault.waiters"
  end

  before_each(function()
    start()
  end)

  local function wait_for(ticket, seconds)
    local result = {}
    worker:spawn(function()
      result.ok, result.err = wait.wait(ticket, seconds)
      result.is_over, result.at = true, worker.time
    end)
    return result
  end

  local function open_connections()
    return #worker:connections()
  end

  local function complete(ticket)
    native.complete[ticket] = true
    worker:notify({ native.COMPLETED, ticket })
  end

  local function listen()
    listener.start()
    worker:advance(0)
  end

  it("is none where the fetch is complete", function()
    native.complete[1] = true
    assert.is_true(wait_for(1, 10).ok)
    assert.equal(0, #worker.engine.connections)
  end)

  it("uses the listener, and needs no connection of its own", function()
    listen()
    local one, two = wait_for(1, 10), wait_for(2, 10)
    assert.equal(1, open_connections())
    complete(1)
    assert.is_true(one.ok)
    assert.is_nil(two.is_over)
    complete(2)
    assert.is_true(two.ok)
  end)

  it("has a connection of its own where there is no listener, and closes it", function()
    start({ address = "me", is_throwaway = true })
    local result = wait_for(1, 10)
    assert.equal(1, open_connections())
    complete(2)
    assert.is_nil(result.is_over)
    complete(1)
    assert.is_true(result.ok)
    assert.equal(0, open_connections())
  end)

  it("ends at its time, with the listener and without", function()
    for _, with_listener in ipairs({ true, false }) do
      start()
      if with_listener then
        listen()
      end
      local began = worker.time
      local result = wait_for(1, 10)
      worker:advance(9.9)
      assert.is_nil(result.is_over)
      worker:advance(1)
      assert.same({ nil, "timeout" }, { result.ok, result.err })
      assert.is_true(math.abs(result.at - began - 10) < 0.01)
    end
  end)

  it("goes on with a connection of its own where the listener never starts", function()
    worker.drops_timers = true
    listener.start()
    local result = wait_for(1, 10)
    assert.equal(0, open_connections())
    worker:advance(2.5)
    assert.equal(1, open_connections())
    complete(1)
    assert.is_true(result.ok)
  end)

  it("goes on with a connection of its own where the listener ends", function()
    listen()
    local result = wait_for(1, 10)
    local first = worker.engine.connections[1]
    first.is_hung_up = true
    worker:run()
    assert.is_true(first.is_closed)
    assert.is_nil(result.is_over)
    assert.equal(1, open_connections())
    complete(1)
    assert.is_true(result.ok)
  end)

  it("connects again where the worker is told to quit, which closes connections", function()
    start({ address = "me", is_throwaway = true })
    local result = wait_for(1, 10)
    worker.engine.connections[1].is_hung_up = true
    worker:run()
    assert.is_nil(result.is_over)
    assert.equal(1, open_connections())
    complete(1)
    assert.is_true(result.ok)
  end)

  it("says why the engine can't be heard", function()
    worker.engine.refusal = "connection refused"
    assert.same({ nil, "connection refused" }, { wait_for(1, 10).ok, wait_for(1, 10).err })
  end)

  it("says that it can't yield inside a C function", function()
    listen()
    local ok, err
    -- The callback of gsub runs below a C function, which no coroutine can yield across.
    worker:spawn(function()
      ("x"):gsub("x", function()
        ok, err = wait.wait(1, 10)
      end)
    end)
    assert.is_nil(ok)
    assert.matches(wait.NO_YIELD, err, 1, true)
  end)

  it("for several fetches ends with the first", function()
    listen()
    local result = {}
    worker:spawn(function()
      local group = waiters.group()
      waiters.join(group, 1)
      waiters.join(group, 2)
      result.ok = wait.any(group, 10)
      result.completed = group.completed
    end)
    assert.is_nil(result.completed)
    complete(2)
    assert.is_true(result.ok)
    assert.same({ 2 }, result.completed)
  end)
end)
