-- Timers of which there is one at a time. nginx drops a timer, with a line in the log but without calling anybody, where
-- `lua_max_running_timers` run already: one that is overdue is lost.

local ngx = ngx

-- Seconds after which a timer is overdue: a worker that is busy is late.
local GRACE = 1

local _M = { GRACE = GRACE }

--- Returns two functions. `set(seconds)` has `callback(premature)` called, unless that is to come already; it returns
-- whether it is to come. `is_set()` returns the same without setting it.
function _M.new(callback)
  local due

  local function is_set()
    return due ~= nil and ngx.now() <= due + GRACE
  end

  local function fire(premature, its)
    -- A late one has been replaced.
    if its == due then
      due = nil
      callback(premature)
    end
  end

  local function set(seconds)
    if not is_set() then
      due = ngx.now() + seconds
      if not ngx.timer.at(seconds, fire, due) then
        due = nil
      end
    end
    return due ~= nil
  end

  return set, is_set
end

return _M
