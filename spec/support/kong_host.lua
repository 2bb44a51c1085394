-- A stub of the parts of Kong Gateway 3.9 that a strategy and the plugin use. Runs inside nginx.

local _M = {}

-- Kong's own functions, which note their calls. `custom` is a vault whose strategy others brought.
local function pdk(calls)
  local own = {}
  function own.get(reference)
    calls[#calls + 1] = "get " .. reference
    local found = (rawget(_G, "kong").finds or {})[reference]
    if found then
      return found
    elseif reference:find("{vault://custom/", 1, true) == 1 then
      return "of a custom vault"
    end
    return nil, "could not find vault (" .. tostring(reference:match "^{vault://([^/]+)") .. ")"
  end
  function own.update(config)
    for field, reference in pairs(config["$refs"] or {}) do
      config[field] = own.get(reference) or ""
    end
    return config
  end
  function own.try(callback, options)
    calls[#calls + 1] = "try"
    return callback(own.update(options))
  end
  function own.warmup() end
  function own.flush()
    calls[#calls + 1] = "flush"
  end
  function own.init_worker()
    calls[#calls + 1] = "init_worker"
  end
  function own.is_reference() end
  function own.parse_reference() end
  return own
end

-- A row of the database as Kong returns it without the option `nulls`: without nulls, and with references resolved.
local function looked_up(entity)
  local copy, config, refs = {}, {}, {}
  for name, value in pairs(entity) do
    copy[name] = value ~= ngx.null and value or nil
  end
  for name, value in pairs(entity.config) do
    if type(value) == "string" and value:find "^{vault://" then
      refs[name] = value
      value = rawget(_G, "kong").vault.get(value) or ""
    end
    config[name] = value ~= ngx.null and value or nil
  end
  config["$refs"] = config["$refs"] or next(refs) and refs
  copy.config = config
  return copy
end

--- The global `kong`. `conf`: keys of kong.conf; `entities`: what its database holds, which a spec may change.
function _M.new(conf, entities)
  local calls, events, posted = {}, {}, {}
  conf.loaded_vaults = conf.loaded_vaults or { env = true, hcv = true, aws = true, fs = true, custom = true }
  return {
    calls = calls,
    -- Not Kong's: what its own look-ups find, by reference; nil: nothing.
    finds = nil,
    -- Events for all workers.
    posted = posted,
    -- As in Kong, it can't be iterated.
    configuration = setmetatable({
      remove_sensitive = function()
        local copy = {}
        for name in pairs(conf) do
          copy[name] = "******"
        end
        return copy
      end,
    }, { __index = conf }),
    db = {
      vaults = {
        each = function(_, _, options)
          local i = 0
          return function()
            i = i + 1
            local entity = entities[i]
            if entity and not options.nulls then
              return looked_up(entity)
            end
            return entity
          end
        end,
        -- Kong's own runs the events' handlers in timers.
        post_crud_event = function(_, operation, entity, old_entity)
          ngx.timer.at(0, function()
            for _, handler in ipairs(events["crud.vaults"]) do
              handler({ operation = operation, entity = entity, old_entity = old_entity })
            end
          end)
        end,
      },
    },
    vault = pdk(calls),
    log = {
      err = function(...)
        ngx.log(ngx.ERR, ...)
      end,
    },
    worker_events = {
      register = function(handler, source, event)
        local name = source .. "." .. event
        events[name] = events[name] or {}
        table.insert(events[name], handler)
      end,
      post = function(source, event)
        posted[#posted + 1] = source .. "." .. event
        return true
      end,
    },
    -- Not Kong's: triggers an event.
    post = function(name, data)
      for _, handler in ipairs(events[name]) do
        handler(data or {})
      end
    end,
  }
end

-- Notes a reference in `refs`. Returns what Kong puts in the field until the reference is resolved.
local function defer(spec, refs, name, value)
  if spec.referenceable and type(value) == "string" and value:find "^{vault://" then
    refs[name] = value
    return ""
  end
  return value
end

--- A configuration as Kong hands it to a plugin, by the plugin's schema: with defaults, and with the references of fields that
-- may hold some in `$refs`.
function _M.config(fields, given)
  local config, refs = {}, {}
  for _, field in ipairs(fields) do
    local name, spec = next(field)
    local value, inner = given[name], spec.elements or spec.values
    if value == nil then
      value = spec.default
    end
    assert(value ~= nil or not spec.required, name)
    if spec.type == "record" then
      value = _M.config(spec.fields, value)
    elseif inner and value then
      local copy, inner_refs = {}, {}
      for key, element in pairs(value) do
        copy[key] = defer(inner, inner_refs, key, element)
      end
      value, refs[name] = copy, next(inner_refs) and inner_refs
    else
      value = defer(spec, refs, name, value)
    end
    config[name] = value
  end
  config["$refs"] = next(refs) and refs
  return config
end

return _M
