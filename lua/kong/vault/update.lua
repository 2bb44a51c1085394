-- Brings tables of plugins up to date. The `$refs` of a table says which of its fields are references, or texts with references
-- inside. Its metatable may have `accept(field, key, reference, value)`, which returns what such a field is set to: `key` is that
-- of one of several texts in a field, `value` is nil where there is none.

local audit = require "kong.vault.audit"
local l1 = require "kong.vault.l1"
local missing = require "kong.vault.missing"
local native = require "kong.vault.native"
local resolve = require "kong.vault.resolve"
local refs = require "kong.vault.refs"
local text = require "kong.vault.text"

local ngx = ngx
local has_reference, is_composed = refs.has_reference, refs.is_composed

-- Seconds for which a table with missing values is not tried again, unless one of those values arrives.
local PAUSE = 1

local _M = {}

-- Tables with missing values: when they may be tried again, and which references lack a value. Weak: see l1.lua.
local retry_at = setmetatable({}, { __mode = "k" })

-- The last warning about each reference.
local warned = {}

local function now()
  return ngx and ngx.now and ngx.now() or os.time()
end

-- Returns the value of one reference. Notes in `state` a missing value, and whether the table stays up to date until something
-- changes.
local function cached(reference, state)
  local value, err, lasting = resolve.cached(reference, state.config, state.is_quiet)
  if value == nil then
    state.lacking[#state.lacking + 1] = reference
  end
  state.complete = state.complete and lasting
  return value, err
end

-- Returns the value of what `$refs` has for one field.
local function value_of(reference, state)
  local value, err, lacking
  if is_composed(reference) then
    value, err, lacking = text.fill(reference, function(one)
      return cached(one, state)
    end)
  else
    value, err = cached(reference, state)
  end
  if value == nil then
    missing.warn(warned, reference, lacking or reference, err)
  elseif warned[reference] then
    warned[reference] = nil
  end
  return value
end

local function update_one(config, read)
  local by_field = config["$refs"]
  if type(by_field) ~= "table" then
    return
  end
  local metatable = getmetatable(by_field)
  local accept = metatable and metatable.accept
  local function set(target, name, field, key, reference)
    local value = read(reference)
    target[name] = accept and accept(field, key, reference, value) or value or ""
  end
  for field, reference in next, by_field do
    if has_reference(reference) then
      set(config, field, field, nil, reference)
    elseif type(reference) == "table" then
      if type(config[field]) ~= "table" then
        config[field] = {}
      end
      for key, inner in next, reference do
        if has_reference(inner) then
          set(config[field], key, field, key, inner)
        end
      end
    end
  end
end

-- Sets all fields that are in `$refs`, in nested tables as well, to what `read(reference)` returns; those without a value are
-- empty. Returns the table.
function _M.each(config, read)
  refs.each_table(config, function(found, enter)
    update_one(found, read)
    for name, value in next, found do
      if name ~= "$refs" then
        enter(value)
      end
    end
  end)
  return config
end

-- Whether one of these references has a value by now. Starts no fetch.
local function has_arrived(references)
  for _, reference in ipairs(references) do
    if native.vm:cached(reference) then
      return true
    end
  end
  return false
end

-- Brings a table up to date that is not known to be so: looks up each of its references, `is_quiet` as for `resolve.cached`.
-- Returns the table.
function _M.all(config, is_quiet)
  local mark = l1.sync()
  local wait = retry_at[config]
  if wait and wait.mark == mark and now() < wait.at and not has_arrived(wait.lacking) then
    return config
  end
  local state = { config = config, is_quiet = is_quiet, lacking = {}, complete = true }
  _M.each(config, function(reference)
    return value_of(reference, state)
  end)
  if state.complete then
    retry_at[config] = nil
    l1.mark_updated(config, mark)
  elseif #state.lacking > 0 or not audit.notes_all() then
    retry_at[config] = { mark = mark, at = now() + PAUSE, lacking = state.lacking }
  end
  return config
end

return _M
