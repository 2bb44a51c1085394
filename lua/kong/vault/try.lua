-- Calls that fail with a secret that was just replaced, and are made once more with the new one.

local resolve = require "kong.vault.resolve"
local update = require("kong.vault.update").all
local refs = require "kong.vault.refs"

local ngx = ngx

-- Seconds for which failing callbacks don't have a reference renewed again: a database that is down must not have each
-- request ask the vault. After the first renewal that was of no use it is so short that it is waited for, as the secret may
-- have been replaced just then.
local PAUSE = 1
local FIRST_PAUSE = 0.1

local _M = {}

-- Renewals that were of no use, by reference: when the last one began, and how many there were in a row.
local renewed = {}

local function now()
  return ngx and ngx.now and ngx.now() or os.time()
end

-- How long a reference has to be left alone yet.
local function pause_of(reference)
  local last = renewed[reference]
  return last and last.at + (last.times > 1 and PAUSE or FIRST_PAUSE) - now() or 0
end

-- Waits out those pauses that are short, where this phase can wait. The callback of whoever comes while a longer one lasts
-- is called again without a renewal.
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

-- Has references renewed, with values whose fetches begin after `since`.
local function renew(references, since)
  pause(references)
  local due, began = {}, now()
  for _, reference in ipairs(references) do
    if pause_of(reference) <= 0 then
      due[#due + 1] = reference
    end
  end
  -- Whoever fails meanwhile joins the same flights.
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

local function snapshot(references)
  local values = {}
  for i, reference in ipairs(references) do
    values[i] = resolve.cached(reference)
  end
  return values
end

-- Has all values fetched anew, from `since` on; those that were not there yet are only waited for, unless their fetch
-- began before.
local function refresh(references, values, since)
  local known, missing = {}, {}
  for i, reference in ipairs(references) do
    local list = values[i] == nil and missing or known
    list[#list + 1] = reference
  end
  resolve.renew(missing, since)
  renew(known, since)
end

local function is_same(references, values)
  local current = snapshot(references)
  for i = 1, #references do
    if current[i] ~= values[i] then
      return false
    end
  end
  return true
end

-- Passes a second call's results on; where it succeeded, the renewals were of use.
local function note(references, ...)
  if ... then
    for _, reference in ipairs(references) do
      renewed[reference] = nil
    end
  end
  return ...
end

-- Updates a table and calls back with it. If that fails, has its references renewed, unless somebody else had already,
-- and calls back a second and last time.
function _M.try(callback, options)
  local references = refs.declared(options)
  if #references == 0 then
    return callback(options)
  end
  -- Before the update: what lands in between is newer than what is compared later, so nobody has it renewed at once. And
  -- before that: a fetch that begins from now on brings what was in force when this call was made, or what is newer.
  local since = resolve.clock()
  local values = snapshot(references)
  update(options)
  local result, err = callback(options)
  if result then
    return result, err
  end
  if is_same(references, values) then
    refresh(references, values, since)
  end
  update(options)
  return note(references, callback(options))
end

return _M
