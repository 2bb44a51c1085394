-- Calls a function with secrets, and once more with newly fetched ones if it fails: a secret may just have been replaced.

local debug_log = require "kong.vault.debug_log"
local refs = require "kong.vault.refs"
local resolve = require "kong.vault.resolve"
local update = require("kong.vault.update").all

local ngx = ngx

-- Seconds between two renewals of a reference for callbacks that fail: a database that is down must not send each request to
-- the vault. After the first renewal that did not help, the pause is short enough to wait for, as the secret may have been
-- replaced during that renewal.
local PAUSE = 1
local FIRST_PAUSE = 0.1

local _M = {}

-- Renewals that did not help, by reference: when the last one began, and how many there were in a row.
local renewed = {}

local function now()
  return ngx and ngx.now and ngx.now() or os.time()
end

-- Returns how many seconds of a reference's pause are left.
local function pause_of(reference)
  local last = renewed[reference]
  return last and last.at + (last.times > 1 and PAUSE or FIRST_PAUSE) - now() or 0
end

-- Waits until the short pauses are over, where this phase can wait. While a long one lasts, the callback is called again
-- without a renewal.
local function pause(references)
  local seconds = 0
  for _, reference in ipairs(references) do
    local left = pause_of(reference)
    if left <= FIRST_PAUSE then
      seconds = math.max(seconds, left)
    end
  end
  if seconds > 0 and ngx and ngx.sleep then
    pcall(ngx.sleep, seconds)
  end
end

-- Renews references whose pause is over, with values whose fetches begin after `since`.
local function renew(references, since)
  pause(references)
  local due, began = {}, now()
  for _, reference in ipairs(references) do
    if pause_of(reference) <= 0 then
      due[#due + 1] = reference
    end
  end
  if #due > 0 then
    debug_log.line("a callback of try failed: renewing ", #due, " of ", #references, " references")
  end
  -- Other calls that fail meanwhile join the same fetches.
  local failed, reason = resolve.renew(due, since)
  for reference, last in next, renewed do
    if began - last.at >= 2 * PAUSE then
      renewed[reference] = nil
    end
  end
  for _, reference in ipairs(due) do
    local last = renewed[reference]
    if not last then
      renewed[reference] = { at = began, times = 1 }
    elseif last.at < began then
      last.at, last.times = began, last.times + 1
    end
  end
  if failed > 0 and ngx and ngx.log then
    ngx.log(ngx.NOTICE, "kong.vault: ", failed, " of ", #due, " references could not be renewed, the first: ", reason)
  end
end

-- A database's client calls `try` for each of its connections, mostly with values that this worker has.
local QUIETLY = true

local function look_up(reference)
  return resolve.cached(reference, nil, QUIETLY)
end

local function snapshot(references)
  local values = {}
  for i, reference in ipairs(references) do
    values[i] = look_up(reference)
  end
  return values
end

-- Has all references fetched again, from `since` on. Those that had no value yet need no renewal: their first fetch serves,
-- unless it began before `since`.
local function refresh(references, values, since)
  local known, missing = {}, {}
  for i, reference in ipairs(references) do
    local list = values[i] == nil and missing or known
    list[#list + 1] = reference
  end
  resolve.renew(missing, since)
  renew(known, since)
end

-- Splits references: those whose values are others than in the snapshot, and those whose values are the same.
local function compare(references, values)
  local arrived, same, same_values = {}, {}, {}
  for i, reference in ipairs(references) do
    if look_up(reference) ~= values[i] then
      arrived[#arrived + 1] = reference
    else
      same[#same + 1] = reference
      same_values[#same] = values[i]
    end
  end
  return arrived, same, same_values
end

-- Returns the results of the second call. If it succeeded, the renewals helped, and their pauses end.
local function note(references, ...)
  if ... then
    for _, reference in ipairs(references) do
      renewed[reference] = nil
    end
  end
  return ...
end

-- Brings a table up to date and calls the callback with it. If that fails, renews the table's references, unless another call
-- has done so since, and calls the callback a second and last time.
function _M.try(callback, options)
  local references = refs.declared(options)
  if #references == 0 then
    return callback(options)
  end
  -- Before the snapshot: a fetch that begins from now on brings what was valid when this call was made, or what is newer. And
  -- the snapshot before the update: a value that arrives between them counts as another one.
  local since = resolve.clock()
  local values = snapshot(references)
  update(options, QUIETLY)
  local result, err = callback(options)
  if result then
    return result, err
  end
  local arrived, same, same_values = compare(references, values)
  -- The fetches of what arrived may have begun before `since`, and their values be old already. Values of later fetches, such as
  -- another call's renewal, are not renewed.
  resolve.renew(arrived, since)
  refresh(same, same_values, since)
  update(options, QUIETLY)
  return note(references, callback(options))
end

return _M
