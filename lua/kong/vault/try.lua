-- Calls that fail with a secret that was just replaced, and are made once more with the new one.

local resolve = require "kong.vault.resolve"
local update = require("kong.vault.update").all
local walk = require "kong.vault.walk"

local ngx = ngx

-- Seconds for which failing callbacks don't have a reference renewed again: a database that is down must not have each
-- request ask the vault.
local PAUSE = 1

local _M = {}

-- When references were renewed.
local renewed = {}

local function now()
  return ngx and ngx.now and ngx.now() or os.time()
end

local function renew(references)
  local due = {}
  for _, reference in ipairs(references) do
    if not renewed[reference] or now() - renewed[reference] >= PAUSE then
      due[#due + 1] = reference
    end
  end
  -- Whoever fails meanwhile joins the same flights.
  local failed, reason = resolve.renew(due)
  for reference, at in next, renewed do
    if now() - at >= PAUSE then
      renewed[reference] = nil
    end
  end
  for _, reference in ipairs(due) do
    renewed[reference] = now()
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

-- Has all values fetched anew; those that were not there yet are only waited for.
local function refresh(references, values)
  local known, missing = {}, {}
  for i, reference in ipairs(references) do
    local list = values[i] == nil and missing or known
    list[#list + 1] = reference
  end
  resolve.all(missing)
  renew(known)
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

-- Updates a table and calls back with it. If that fails, has its references renewed, unless somebody else had already,
-- and calls back a second and last time.
function _M.try(callback, options)
  local references = walk.refs(options)
  if #references == 0 then
    return callback(options)
  end
  -- Before the update: what lands in between is newer than what is compared later, so nobody has it renewed at once.
  local values = snapshot(references)
  update(options)
  local result, err = callback(options)
  if result then
    return result, err
  end
  if is_same(references, values) then
    refresh(references, values)
  end
  update(options)
  return callback(options)
end

return _M
