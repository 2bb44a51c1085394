-- Keeps the tables of plugins up to date: each table says in its `$refs` which of its fields are references.

local l1 = require "kong.vault.l1"
local native = require "kong.vault.native"
local resolve = require "kong.vault.resolve"
local refs = require "kong.vault.refs"

local ngx = ngx
local is_reference = refs.is_reference

-- Seconds for which a table that could not be brought up to date is left alone, unless what it lacks arrives.
local PAUSE = 1

local _M = {}

-- When such tables may be tried again, and what they lack; forgotten with the tables.
local retry_at = setmetatable({}, { __mode = "k" })

-- What was last said of a reference: not each request says it again.
local warned = {}

local function now()
  return ngx and ngx.now and ngx.now() or os.time()
end

local function warn(reference, err)
  if warned[reference] ~= err and ngx and ngx.log then
    warned[reference] = err
    ngx.log(ngx.WARN, "kong.vault: error updating secret reference ", native.name_reference(reference), ": ", err)
  end
end

-- Sets one field. Notes in `state` what is lacking, and whether the field may be taken for up to date.
local function set(target, field, reference, state)
  local value, err, lasting = resolve.cached(reference)
  if value == nil then
    warn(reference, err)
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

-- Whether one of these has a value by now. Starts no fetch.
local function has_arrived(references)
  for _, reference in ipairs(references) do
    if native.vm:cached(reference) then
      return true
    end
  end
  return false
end

-- Looks every reference of a table up; the way of those that are not known to be up to date.
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
