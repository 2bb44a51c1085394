-- A fake of an nginx worker, so that unit specs run Lua's logic without nginx: a clock that a spec advances, timers, the shared
-- dictionary, semaphores, cosockets to a fake engine, and the log.
--
-- Coroutines that a spec begins with `spawn`, and timers, run when the spec calls `spawn`, `advance` or `run`, and wait
-- until what they wait for happens.

local fake_dict = require "spec.support.fake_dict"

local _M = {}
_M.__index = _M

local LEVELS = { ERR = 4, WARN = 5, NOTICE = 6, INFO = 7, DEBUG = 8 }

-- Semaphores ---------------------------------------------------------------------------------------------------------------

local Semaphore = {}
Semaphore.__index = Semaphore

function Semaphore:post(count)
  self.count = self.count + (count or 1)
end

function Semaphore:wait(seconds)
  local came = self.worker:_wait(function()
    return self.count > 0
  end, seconds)
  if not came then
    return nil, "timeout"
  end
  self.count = self.count - 1
  return true
end

-- Cosockets ----------------------------------------------------------------------------------------------------------------

local Socket = {}
Socket.__index = Socket

function Socket:settimeouts(connect, send, read)
  self.timeouts = { connect, send, read }
  self.timeout = read / 1000
end

function Socket:connect(address)
  local refusal = self.worker.engine.refusal
  if refusal then
    return nil, refusal
  end
  self.address = address
  return true
end

-- The engine answers a subscription with a first byte.
function Socket:send(data)
  self.sent, self.bytes = data, self.worker.engine.is_silent and 0 or 1
  table.insert(self.worker.engine.connections, self)
  return #data
end

function Socket:receive()
  return Socket.receiveany(self, 1)
end

function Socket:receiveany(most)
  local came = self.worker:_wait(function()
    return self.bytes > 0 or self.is_hung_up
  end, self.timeout)
  if not came then
    return nil, "timeout"
  elseif self.bytes == 0 then
    return nil, "closed"
  end
  local count = math.min(self.bytes, most)
  self.bytes = self.bytes - count
  return ("\n"):rep(count)
end

function Socket:close()
  self.is_closed = true
  return true
end

-- The worker ---------------------------------------------------------------------------------------------------------------

-- Has the running coroutine wait until `is_ready()`. Returns whether that came within `seconds`.
function _M:_wait(is_ready, seconds)
  local deadline = self.time + seconds
  while not is_ready() do
    if self.time >= deadline then
      return false
    end
    coroutine.yield(is_ready, deadline)
  end
  return true
end

local function step(self, thread)
  local ok, is_ready, deadline = coroutine.resume(thread.coroutine)
  if not ok then
    error(debug.traceback(thread.coroutine, is_ready), 0)
  end
  thread.is_ready, thread.deadline = is_ready, deadline
  if coroutine.status(thread.coroutine) == "dead" then
    for i, other in ipairs(self.threads) do
      if other == thread then
        table.remove(self.threads, i)
      end
    end
  end
end

--- Runs all coroutines, until each waits for something that has not happened.
function _M:run()
  local was_ready
  repeat
    was_ready = false
    for _, thread in ipairs({ unpack(self.threads) }) do
      if thread.is_ready() or self.time >= thread.deadline then
        was_ready = true
        step(self, thread)
      end
    end
  until not was_ready
end

--- Runs a function as a coroutine of this worker.
function _M:spawn(call, ...)
  local arguments, count = { ... }, select("#", ...)
  local thread = {
    coroutine = coroutine.create(function()
      call(unpack(arguments, 1, count))
    end),
  }
  self.threads[#self.threads + 1] = thread
  step(self, thread)
  self:run()
  return thread
end

--- Ends a coroutine where it waits, as nginx does when the client of a request disconnects.
function _M:kill(thread)
  for i, other in ipairs(self.threads) do
    if other == thread then
      table.remove(self.threads, i)
    end
  end
end

-- When the next timer or the next deadline is due.
local function next_due(self)
  local due = self.timers[1] and self.timers[1].due or math.huge
  for _, thread in ipairs(self.threads) do
    due = math.min(due, thread.deadline)
  end
  return due
end

--- Advances the clock, and runs what is due.
function _M:advance(seconds)
  local goal = self.time + seconds
  self:run()
  while true do
    local due = next_due(self)
    if due > goal then
      break
    end
    self.time = math.max(self.time, due)
    while self.timers[1] and self.timers[1].due <= self.time do
      local timer = table.remove(self.timers, 1)
      if not self.drops_timers then
        self:spawn(timer.call, false, unpack(timer.arguments))
      end
    end
    self:run()
  end
  self.time = goal
end

--- Tells the worker to quit: pending timers run at once, as premature.
function _M:quit()
  self.is_exiting = true
  local timers = self.timers
  self.timers = {}
  for _, timer in ipairs(timers) do
    self:spawn(timer.call, true, unpack(timer.arguments))
  end
end

--- The worker's open connections to the engine.
function _M:connections()
  local open = {}
  for _, connection in ipairs(self.engine.connections) do
    if not connection.is_closed then
      open[#open + 1] = connection
    end
  end
  return open
end

--- Adds events, each `{ kind, ticket, text }`, of which the engine notifies each open connection.
function _M:notify(...)
  for _, event in ipairs({ ... }) do
    table.insert(self.native.events, event)
  end
  for _, connection in ipairs(self:connections()) do
    connection.bytes = connection.bytes + 1
  end
  self:run()
end

--- Returns what was logged since the last call, as "LEVEL text"; without debug lines unless `level` is DEBUG.
function _M:logged()
  local lines = self.lines
  self.lines = {}
  return lines
end

local function ngx_of(self)
  local ngx = {
    shared = self.shared,
    null = {},
    now = function()
      return self.time
    end,
    get_phase = function()
      return self.phase
    end,
    sleep = function(seconds)
      self:_wait(function()
        return false
      end, seconds)
    end,
    worker = {
      pid = function()
        return self.pid
      end,
      exiting = function()
        return self.is_exiting
      end,
    },
    timer = {
      at = function(seconds, call, ...)
        if self.refuses_timers or self.is_exiting then
          return nil, "process exiting"
        end
        local due, place = self.time + seconds, 1
        while self.timers[place] and self.timers[place].due <= due do
          place = place + 1
        end
        table.insert(self.timers, place, { due = due, call = call, arguments = { ... } })
        return true
      end,
    },
    socket = {
      tcp = function()
        if self.socket_error then
          return nil, self.socket_error
        end
        return setmetatable({ worker = self, bytes = 0 }, Socket)
      end,
    },
  }
  local names = {}
  for name, level in pairs(LEVELS) do
    ngx[name], names[level] = level, name
  end
  function ngx.log(level, ...)
    if level > self.level then
      return
    end
    local parts = { ... }
    for i = 1, select("#", ...) do
      parts[i] = tostring(parts[i])
    end
    table.insert(self.lines, names[level] .. " " .. table.concat(parts))
  end
  return ngx
end

--- Makes a worker. `options`: `dict`, the shared dictionary `kong_secrets` (`false`: none), `native`, a fake library.
function _M.new(options)
  local self = setmetatable({
    time = 1000,
    pid = 1,
    phase = "timer",
    level = LEVELS.NOTICE,
    threads = {},
    timers = {},
    lines = {},
    engine = { connections = {} },
    native = options.native,
  }, _M)
  local dict = options.dict
  if dict == nil then
    dict = fake_dict.new(self)
  end
  self.shared = { kong_secrets = dict or nil }
  self.dict = dict
  self.ngx = ngx_of(self)
  self.modules = {
    ["kong.vault.native"] = options.native,
    ["ngx.semaphore"] = {
      new = function(count)
        return setmetatable({ worker = self, count = count }, Semaphore)
      end,
    },
  }
  return self
end

--- Loads a module of kong-vault into this worker, with all that it requires. `stubs` replace some of those.
function _M:load(name, stubs)
  for stub, module in pairs(stubs or {}) do
    self.modules[stub] = module
  end
  local environment = setmetatable({ ngx = self.ngx }, { __index = _G })
  function environment.require(wanted)
    if self.modules[wanted] then
      return self.modules[wanted]
    elseif not wanted:find "^kong%.vault" then
      return require(wanted)
    end
    local chunk = assert(loadfile(assert(package.searchpath(wanted, package.path))))
    self.modules[wanted] = setfenv(chunk, environment)(wanted)
    return self.modules[wanted]
  end
  return environment.require(name)
end

return _M
