-- Keeps the tables of plugins up to date: each table says in its `$refs` which of its fields are references.

local front = require "kong.vault.front"
local resolve = require "kong.vault.resolve"
local walk = require "kong.vault.walk"

local ngx = ngx
local is_reference = walk.is_reference

-- Seconds for which a table that could not be brought up to date is left alone.
local PAUSE = 1

local _M = {}

-- When such tables may be tried again; forgotten with the tables.
local retry_at = setmetatable({}, { __mode = "k" })

-- What was last said of a reference: not each request says it again.
local warned = {}

local function now()
  return ngx and ngx.now and ngx.now() or os.time()
end

local function warn(reference, err)
  if warned[reference] ~= err and ngx and ngx.log then
    warned[reference] = err
    ngx.log(ngx.WARN, "kong.vault: error updating secret reference ", reference, ": ", err)
  end
end

-- Sets one field; returns whether it may be taken for up to date.
local function set(target, field, reference)
  local value, err, lasting = resolve.cached(reference)
  if value == nil then
    warn(reference, err)
    lasting = false
  else
    warned[reference] = nil
  end
  target[field] = value or ""
  return lasting
end

local function update(config, seen)
  seen[config] = true
  local complete = true
  local refs = config["$refs"]
  if type(refs) == "table" then
    for field, reference in next, refs do
      if is_reference(reference) then
        complete = set(config, field, reference) and complete
      elseif type(reference) == "table" then
        if type(config[field]) ~= "table" then
          config[field] = {}
        end
        for key, inner in next, reference do
          if is_reference(inner) then
            complete = set(config[field], key, inner) and complete
          end
        end
      end
    end
  end
  for name, value in next, config do
    if name ~= "$refs" and type(value) == "table" and not seen[value] then
      complete = update(value, seen) and complete
    end
  end
  return complete
end

-- Looks every reference of a table up; the way of those that are not known to be up to date.
function _M.all(config)
  local mark = front.begin()
  local wait = retry_at[config]
  if wait and wait.mark == mark and now() < wait.at then
    return config
  end
  if update(config, {}) then
    retry_at[config] = nil
    front.mark(config, mark)
  else
    retry_at[config] = { mark = mark, at = now() + PAUSE }
  end
  return config
end

return _M
