-- A pretended node for unit specs: workers that have one shared dictionary and one clock.

local fake_dict = require "spec.support.fake_dict"
local fake_native = require "spec.support.fake_native"
local fake_ngx = require "spec.support.fake_ngx"

local _M = {}
_M.__index = _M

--- A worker of the node, with `kong.vault.shared_cache` as `cache`. `address`: by which others ask it; nil: it can open no
--- socket. `options`: those of the pretended library, and `dict` (false: none is declared).
function _M:worker(address, options)
  options = options or {}
  options.address = address
  local native = fake_native.new(options)
  local dict = options.dict
  if dict == nil then
    dict = self.dict
  end
  local ngx = fake_ngx.new({ native = native, dict = dict })
  local shared_cache, waiters = ngx:load "kong.vault.shared_cache", ngx:load "kong.vault.waiters"
  local cache = setmetatable({}, { __index = shared_cache })
  -- By names, in place of the orders that the library has for them.
  function cache.start(ticket, name, dead)
    return shared_cache.start(ticket, native.machine.start(ticket, name, dead))
  end
  function cache.start_for_engine(ticket, text)
    local dead = text:sub(33)
    return cache.start(ticket, text:sub(1, 32), dead ~= "" and dead or nil)
  end
  function cache.probe(ticket, names)
    return shared_cache.start(ticket, native.machine.start(ticket, names:sub(1, 32), nil, names:sub(33)))
  end
  cache.publish = shared_cache.publish_if_owned
  return { cache = cache, native = native, ngx = ngx, waiters = waiters }
end

--- What a worker had the engine start, as "ticket vault-or-claim owned".
function _M.starts(worker)
  return fake_native.calls(worker.native, "start")
end

--- Lets a fetch of a worker be complete, with an outcome that others may keep for so many seconds (nil: nothing to keep).
function _M.complete(worker, ticket, sealed, seconds)
  worker.native.outcomes[ticket] = sealed and { sealed = sealed, seconds = seconds }
  worker.native.complete[ticket] = true
  worker.cache.publish(ticket)
end

--- A node whose dictionary has room for so many bytes.
function _M.new(bytes)
  local clock = { time = 1000 }
  return setmetatable({ clock = clock, dict = fake_dict.new(clock, bytes) }, _M)
end

return _M
