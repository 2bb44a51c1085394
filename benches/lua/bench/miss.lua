-- Values that nobody has yet: a whole fetch by `vault.get` against the same exchange by a cosocket of this worker.
-- Blocks alternate: ours, theirs, ours, theirs.

local clock = require "bench.clock"
local cosocket = require "bench.cosocket"
local sigv4 = require "bench.sigv4"
local vault = require "kong.vault"

local spawn, wait = ngx.thread.spawn, ngx.thread.wait

-- Every document is asked for once in a worker's life.
local number = 0

local function by_vault(arguments)
  number = number + 1
  local reference = arguments.reference:format(number)
  local value, err = vault.get(reference)
  if not value then
    error(reference .. ": " .. tostring(err))
  end
  assert(value:find "^password of ", value)
end

local function by_cosocket(arguments)
  number = number + 1
  local body = cosocket.exchange(arguments.target, arguments.request:format(number))
  assert(body:find("password of ", 1, true), body)
end

local function by_sigv4(arguments)
  number = number + 1
  assert(sigv4.get(arguments.target, arguments.keys, "bench/" .. number) == "password of bench")
end

local PEERS = { cosocket = by_cosocket, sigv4 = by_sigv4 }

local function median(list)
  table.sort(list)
  return list[math.floor((#list + 1) / 2)]
end

-- One block. In turn, its time is the median of its fetches; side by side, the whole block's over its fetches.
local function block(fetch, arguments)
  local count, width = arguments.count, arguments.width
  local process, thread, start = clock.process(), clock.thread(), clock.wall()
  local wall
  if width == 1 then
    local times = {}
    for i = 1, count do
      local began = clock.wall()
      fetch(arguments)
      times[i] = clock.wall() - began
    end
    wall = median(times)
  else
    local threads, each = {}, math.floor(count / width)
    for i = 1, width do
      threads[i] = spawn(function()
        for _ = 1, each do
          fetch(arguments)
        end
      end)
    end
    for i = 1, width do
      assert(wait(threads[i]))
    end
    count = each * width
    wall = (clock.wall() - start) / count
  end
  local worker = (clock.thread() - thread) / count
  return { wall = wall * 1e6, worker = worker * 1e6, engine = ((clock.process() - process) / count - worker) * 1e6 }
end

local _M = {}

-- `pairs` blocks of `count` fetches a side, `width` at a time. Microseconds.
function _M.compare(arguments)
  local theirs_by = PEERS[arguments.peer]
  block(by_vault, arguments)
  block(theirs_by, arguments)
  local ours, theirs = {}, {}
  for i = 1, arguments.pairs do
    ours[i] = block(by_vault, arguments)
    theirs[i] = block(theirs_by, arguments)
  end
  return { ours = ours, theirs = theirs }
end

-- One block, for a peer that is no part of the worker, and for profilers.
function _M.ours(arguments)
  return block(by_vault, arguments)
end

function _M.theirs(arguments)
  return block(PEERS[arguments.peer], arguments)
end

-- Asks for `count` documents at once and waits for all; the answer says when the first and the last came.
function _M.burst(arguments)
  local start, first, last = clock.wall(), nil, nil
  local threads = {}
  for i = 1, arguments.count do
    number = number + 1
    local reference = arguments.reference:format(number)
    threads[i] = spawn(function()
      assert(vault.get(reference))
      last = clock.wall() - start
      first = first or last
    end)
  end
  for i = 1, arguments.count do
    assert(wait(threads[i]))
  end
  return { first = first, last = last }
end

return _M
