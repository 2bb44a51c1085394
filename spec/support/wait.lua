-- The one place where specs wait for something: by asking again and again, with a bound that is no part of any result.

local socket = require "socket"

local PATIENCE = 15
local PAUSE = 0.01

-- How many times longer everything may take, as under Valgrind.
local SLOWER = tonumber(os.getenv "TEST_SLOWER") or 1

local _M = {}

--- Asks until the answer is true, and returns it; false once `seconds` have passed.
function _M.poll(predicate, seconds)
  local deadline = socket.gettime() + SLOWER * (seconds or PATIENCE)
  repeat
    local answer = predicate()
    if answer then
      return answer
    end
    socket.sleep(PAUSE)
  until socket.gettime() > deadline
  return false
end

--- As `poll`, but raises where it doesn't come true.
function _M.eventually(what, predicate, seconds)
  return _M.poll(predicate, seconds) or error("it did not come true in time that " .. what, 2)
end

-- Seconds of CPU over which `bound` looks how busy the machine is.
local SAMPLE = 0.03

--- For an assertion on how long something may take: `seconds` on a machine with nothing else to do, more where this process
-- has to share its core right now, which is measured, or where TEST_SLOWER says so.
function _M.bound(seconds)
  local wall, cpu = socket.gettime(), os.clock()
  repeat
  until os.clock() - cpu >= SAMPLE
  return SLOWER * seconds * math.max(1, (socket.gettime() - wall) / SAMPLE)
end

--- Lets time pass, and returns the largest `bound(quick)` of it: others may have used the machine at any moment of that time.
function _M.busiest(seconds, quick)
  local deadline, largest = socket.gettime() + seconds, _M.bound(quick)
  while socket.gettime() < deadline do
    socket.sleep(math.max(0, math.min(0.25, deadline - socket.gettime())))
    largest = math.max(largest, _M.bound(quick))
  end
  return largest
end

--- The same for seconds of CPU, which other processes do not prolong.
function _M.cpu(seconds)
  return SLOWER * seconds
end

--- Lets time pass that is the subject of a spec, such as an outage's.
_M.pass = socket.sleep

return _M
