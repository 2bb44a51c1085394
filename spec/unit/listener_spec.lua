-- The coroutine that takes the engine's events into a worker, against a pretended engine.

local fake_native = require "spec.support.fake_native"
local fake_ngx = require "spec.support.fake_ngx"

local order = fake_native.order

-- A name in the node's cache, and another.
local NAME, VAULT = ("d"):rep(32), ("a"):rep(32)

describe("the listener", function()
  local native, worker, listener, waiters, shared_cache

  local function start(options)
    native = fake_native.new(options)
    worker = fake_ngx.new({ native = native })
    listener = worker:load "kong.vault.listener"
    waiters = worker:load "kong.vault.waiters"
    shared_cache = worker:load "kong.vault.shared_cache"
  end

  before_each(function()
    start()
  end)

  local function connections()
    return worker:connections()
  end

  local function events(...)
    worker:notify(...)
  end

  local function listen()
    listener.start()
    worker:advance(0)
  end

  local function wait_for(ticket)
    local result = {}
    worker:spawn(function()
      local record = waiters.record(ticket)
      result.record, result.ok = record, waiters.wait(record, 600)
    end)
    return result
  end

  it("subscribes at the engine once, with the number of its VM", function()
    listen()
    listener.start()
    worker:advance(10)
    assert.equal(1, #connections())
    assert.equal("unix:engine", connections()[1].address)
    assert.equal("subscription 7", connections()[1].sent)
    assert.same({ 1000, 1000, 3600 * 1000 }, connections()[1].timeouts)
  end)

  it("publishes what a fetch brought and wakes who waits for it", function()
    listen()
    native.publications[1] = { order("READ", NAME), order("PUBLISH", NAME, { rest = "sealed", seconds = 60 }) }
    local waiter, other = wait_for(1), wait_for(2)
    events({ native.COMPLETED, 1 })
    assert.is_true(waiter.ok and waiter.record.is_complete)
    assert.is_nil(other.ok)
    assert.equal("sealed", worker.dict:get("kong-vault:" .. NAME))
  end)

  it("sees to what happened before it began", function()
    native.publications[1] = { order("PUBLISH", NAME, { rest = "early" }) }
    local waiter = wait_for(1)
    native.complete[1] = true
    native.notice = "something to know"
    listen()
    assert.is_true(waiter.record.is_complete)
    assert.equal("early", worker.dict:get("kong-vault:" .. NAME))
    assert.same({ "NOTICE kong.vault: something to know" }, worker:logged())
  end)

  it("takes all events that wait, whatever the number of bytes", function()
    listen()
    local one, two = wait_for(1), wait_for(2)
    connections()[1].bytes = 3
    events({ native.COMPLETED, 1 }, { native.COMPLETED, 2 })
    assert.is_true(one.ok and two.ok)
    assert.equal(0, connections()[1].bytes)
  end)

  it("takes them also where ngx_lua cannot read as many bytes as there are", function()
    local tcp = worker.ngx.socket.tcp
    function worker.ngx.socket.tcp()
      local sock = tcp()
      sock.receiveany = false
      return sock
    end
    listen()
    local one, two = wait_for(1), wait_for(2)
    connections()[1].bytes = 3
    events({ native.COMPLETED, 1 }, { native.COMPLETED, 2 })
    assert.is_true(one.ok and two.ok)
    assert.equal(0, connections()[1].bytes)
    local three = wait_for(3)
    events({ native.COMPLETED, 3 })
    assert.is_true(three.ok)
  end)

  it("starts the fetches that the engine hands over, and completes those that need no fetch", function()
    listen()
    native.orders[5] = { order("UNDER_WAY", NAME) }
    native.orders[6] = { order("COMPLETE", NAME) }
    local five, six = wait_for(5), wait_for(6)
    local look = order("LOOK", NAME, { claim = "me@7", seconds = 6 })
    events({ native.START, 5, look }, { native.START, 6, look })
    assert.same({ { reply = "CLAIMED" }, { reply = "OWNER", owner = "me@7" } }, native.replies)
    assert.same({}, native.orders[5])
    assert.is_nil(five.ok)
    assert.is_true(six.ok)
  end)

  it("starts again a fetch whose other worker is gone, with a claim of its own", function()
    worker.dict:set("kong-vault:claim:" .. NAME, "gone@1")
    listen()
    events({ native.START, 5, order("TAKE_OVER", NAME, { claim = "me@7", rest = "gone@1", seconds = 6 }) })
    assert.same({ { reply = "CLAIMED" } }, native.replies)
    assert.equal("me@7", worker.dict:get("kong-vault:claim:" .. NAME))
  end)

  it("starts probes as the node has it", function()
    listen()
    events({ native.START, 5, order("PROBE_CLAIM", VAULT, { claim = "me", seconds = 10 }) })
    assert.same({ { reply = "CLAIMED" } }, native.replies)
    assert.equal("me", worker.dict:get("kong-vault:probe:" .. VAULT))
  end)

  it("drops copies that are outdated", function()
    local l1 = worker:load "kong.vault.l1"
    l1.sync()
    l1.put("{vault://x/y}", "value")
    assert.equal(1, l1.size())
    listen()
    native.generation[0] = 2
    events({ native.OUTDATED })
    assert.same({}, l1.values)
  end)

  it("logs that a vault is down and up, once on a node", function()
    listen()
    for kind, line in pairs({ VAULT_DOWN = "WARN kong.vault: hcv is down", VAULT_UP = "NOTICE kong.vault: hcv is up" }) do
      worker.dict:delete("kong-vault:down:" .. VAULT)
      if kind == "VAULT_UP" then
        worker.dict:set("kong-vault:down:" .. VAULT, true)
      end
      local event = { native[kind], nil, VAULT .. line:match ": (.*)" }
      events(event)
      assert.same({ line }, worker:logged())
      events(event)
      assert.same({}, worker:logged())
    end
  end)

  it("logs that a vault answers again where another worker had said it was down", function()
    listen()
    local text = VAULT .. ("n"):rep(32) .. "hcv answers again"
    events({ native.VAULT_ANSWERS, nil, text })
    assert.same({}, worker:logged())
    worker.dict:set("kong-vault:down:" .. VAULT, true)
    events({ native.VAULT_ANSWERS, nil, text })
    assert.same({ "NOTICE kong.vault: hcv answers again" }, worker:logged())
  end)

  it("keeps an outage from being told anew for as long as it lasts", function()
    listen()
    events({ native.VAULT_DOWN, nil, VAULT .. "hcv is down" }, { native.VAULT_STILL_BAD, 5000, VAULT })
    assert.equal(5000, worker.dict:ttl("kong-vault:down:" .. VAULT))
  end)

  it("logs that the cache is crowded", function()
    listen()
    native.notice = "the cache is full"
    events({ native.CACHE_CROWDED }, { native.CACHE_CROWDED })
    assert.same({ "NOTICE kong.vault: the cache is full" }, worker:logged())
  end)

  it("writes the engine's debug lines", function()
    listen()
    worker.level = worker.ngx.DEBUG
    native.debug_lines = { "one", "two" }
    events({ native.DEBUG_LINES }, { native.DEBUG_LINES })
    local lines = {}
    for _, line in ipairs(worker:logged()) do
      lines[#lines + 1] = line:match "^DEBUG kong%.vault: (%l+)$"
    end
    assert.same({ "one", "two" }, lines)
  end)

  it("connects again after an hour of silence, and goes on", function()
    listen()
    local first = connections()[1]
    worker:advance(3599)
    assert.is_nil(first.is_closed)
    worker:advance(2)
    assert.is_true(first.is_closed)
    assert.equal(1, #connections())
    local waiter = wait_for(1)
    events({ native.COMPLETED, 1 })
    assert.is_true(waiter.ok)
  end)

  it("wakes everybody where its connection is closed, and is started again when needed", function()
    listen()
    local waiter = wait_for(1)
    connections()[1].is_hung_up = true
    worker:run()
    assert.is_true(waiter.ok)
    assert.is_false(waiter.record.is_complete)
    assert.is_nil(listener.runs(60))
    listen()
    assert.equal(60, listener.runs(60))
    assert.equal(1, #connections())
  end)

  it("logs a defect, wakes everybody, and is started again when needed", function()
    listen()
    local waiter = wait_for(1)
    local publish = shared_cache.publish
    shared_cache.publish = function()
      error "broken"
    end
    events({ native.COMPLETED, 2 })
    assert.is_true(waiter.ok)
    assert.is_nil(listener.runs(60))
    local lines = worker:logged()
    assert.equal(1, #lines)
    assert.matches("^ERR kong.vault: the listener failed, .*broken", lines[1])
    shared_cache.publish = publish
    listen()
    assert.equal(60, listener.runs(60))
  end)

  describe("can be relied on", function()
    it("for the whole time once it runs", function()
      listen()
      assert.equal(60, listener.runs(60))
    end)

    it("for a moment while it is expected", function()
      assert.is_nil(listener.runs(60))
      listener.start()
      assert.equal(1, listener.runs(60))
      assert.equal(0.5, listener.runs(0.5))
    end)

    it("no more where nginx dropped its timer", function()
      worker.drops_timers = true
      listen()
      worker:advance(1.1)
      assert.is_nil(listener.runs(60))
      worker.drops_timers = false
      listen()
      assert.equal(60, listener.runs(60))
    end)

    it("not where the engine can't be reached", function()
      for _, refused in ipairs({ "connection refused", false }) do
        start({ engine_error = not refused and "no engine" or nil })
        worker.engine.refusal = refused or nil
        listen()
        assert.is_nil(listener.runs(60))
      end
    end)

    it("not in a VM that ends with its request", function()
      start({ is_throwaway = true })
      listen()
      assert.is_nil(listener.runs(60))
      assert.equal(0, #worker.timers)
    end)

    it("not where nginx refuses timers", function()
      worker.refuses_timers = true
      listen()
      assert.is_nil(listener.runs(60))
    end)
  end)

  describe("in a worker that quits", function()
    it("has the engine told at once", function()
      listen()
      assert.same({}, fake_native.calls(native, "quit"))
      worker:quit()
      assert.equal(1, #fake_native.calls(native, "quit"))
    end)

    it("ends when the engine closes its connection, and does not come back", function()
      listen()
      local waiter = wait_for(1)
      worker:quit()
      connections()[1].is_hung_up = true
      worker:run()
      assert.is_true(waiter.ok)
      listen()
      assert.is_nil(listener.runs(60))
      assert.equal(0, #connections())
      assert.equal(0, #worker.timers)
    end)

    it("ends with the next event or silence, where the connection stays open", function()
      listen()
      worker.is_exiting = true
      events({ native.COMPLETED, 1 })
      assert.equal(0, #connections())
      start()
      listen()
      worker.is_exiting = true
      worker:advance(3601)
      assert.equal(0, #connections())
    end)

    it("wakes everybody where it had yet to begin", function()
      listener.start()
      local waiter = wait_for(1)
      worker:quit()
      worker:run()
      assert.is_true(waiter.ok)
      assert.is_false(waiter.record.is_complete)
      assert.equal(0, #connections())
    end)

    it("keeps its watch over the exit for as long as the worker lives", function()
      listen()
      worker:advance(3 * 3600 + 5)
      worker:quit()
      assert.equal(1, #fake_native.calls(native, "quit"))
    end)
  end)

  describe("served by who waits", function()
    local function serve(is_done, seconds)
      local result = {}
      worker:spawn(function()
        result.ok, result.err = listener.serve(is_done, seconds)
        result.is_over = true
      end)
      return result
    end

    it("ends as soon as that is done, and closes its connection", function()
      local record = waiters.record(1)
      local result = serve(function()
        return record.is_complete
      end, 10)
      events({ native.COMPLETED, 2 })
      assert.is_nil(result.is_over)
      events({ native.COMPLETED, 1 })
      assert.is_true(result.ok)
      assert.equal(0, #connections())
    end)

    it("ends at its time", function()
      local result = serve(function()
        return false
      end, 10)
      worker:advance(9.9)
      assert.is_nil(result.is_over)
      worker:advance(0.2)
      assert.same({ err = "timeout", is_over = true }, result)
      assert.equal(0, #connections())
    end)

    it("is not over before the engine has answered its subscription", function()
      worker.engine.is_silent = true
      local result = serve(function()
        return true
      end, 10)
      assert.is_nil(result.is_over)
      events()
      assert.is_true(result.ok)
    end)

    it("sees what is done before the first event", function()
      native.complete[1] = true
      local record = waiters.record(1)
      local result = serve(function()
        return record.is_complete
      end, 10)
      assert.is_true(result.ok)
    end)

    it("says why it can't", function()
      worker.engine.refusal = "connection refused"
      assert.same({ err = "connection refused", is_over = true }, serve(function() end, 10))
      worker.socket_error = "no socket in this phase"
      assert.same({ err = "no socket in this phase", is_over = true }, serve(function() end, 10))
      start({ engine_error = "the engine does not start" })
      assert.same({ err = "the engine does not start", is_over = true }, serve(function() end, 10))
    end)
  end)
end)
