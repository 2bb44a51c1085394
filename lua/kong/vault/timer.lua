-- Timers of which at most one is pending. Where `lua_max_running_timers` are running already, nginx drops a timer that is
-- due: it writes a line to its log and calls nobody. So a timer that is overdue counts as lost.

local ngx = ngx

-- Seconds after which a timer is overdue: a busy worker runs its timers late.
local GRACE = 1

local _M = { GRACE = GRACE }

--- Returns two functions. `set(seconds)` has `callback(premature)` called after `seconds`, unless a call is pending already; it
--- returns whether a call is pending now. `is_set()` returns whether a call is pending, without setting one.
function _M.new(callback)
  -- When the pending call is due. It identifies the call as well.
  local due

  local function is_set()
    return due ~= nil and ngx.now() <= due + GRACE
  end

  local function fire(premature, expected)
    -- A call that comes after it counted as lost has been replaced by another.
    if expected == due then
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
