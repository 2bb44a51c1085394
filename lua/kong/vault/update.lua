-- Brings tables of plugins up to date. The `$refs` of a table says which of its fields are references.

local l1 = require "kong.vault.l1"
local missing = require "kong.vault.missing"
local native = require "kong.vault.native"
local resolve = require "kong.vault.resolve"
local refs = require "kong.vault.refs"

local ngx = ngx
local is_reference = refs.is_reference

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

-- Sets one field. Notes in `state` a missing value, and whether the table stays up to date until something changes.
local function set(target, field, reference, state)
  local value, err, lasting = resolve.cached(reference)
  if value == nil then
    missing.warn(warned, reference, reference, err)
    state.lacking[#state.lacking + 1] = reference
  else
    warned[reference] = nil
  end
  target[field] = value or ""
  state.complete = state.complete and lasting
end

local function update_one(config, state)
  local by_field = config["$refs"]
  if type(by_field) == "table" then
    for field, reference in next, by_field do
      if is_reference(reference) then
        set(config, field, reference, state)
      elseif type(reference) == "table" then
        if type(config[field]) ~= "table" then
          config[field] = {}
        end
        for key, inner in next, reference do
          if is_reference(inner) then
            set(config[field], key, inner, state)
          end
        end
      end
    end
  end
end

local function update(config, state)
  refs.each_table(config, function(found, enter)
    update_one(found, state)
    for name, value in next, found do
      if name ~= "$refs" then
        enter(value)
      end
    end
  end)
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

-- Brings a table up to date that is not known to be so: looks up each of its references. Returns the table.
function _M.all(config)
  local mark = l1.sync()
  local wait = retry_at[config]
  if wait and wait.mark == mark and now() < wait.at and not has_arrived(wait.lacking) then
    return config
  end
  local state = { lacking = {}, complete = true }
  update(config, state)
  if state.complete then
    retry_at[config] = nil
    l1.mark_updated(config, mark)
  else
    retry_at[config] = { mark = mark, at = now() + PAUSE, lacking = state.lacking }
  end
  return config
end

return _M
