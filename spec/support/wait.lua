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

--- Lets time pass that is the subject of a spec, such as an outage's.
_M.pass = socket.sleep

return _M
