-- A fake node for unit specs: workers that have one shared dictionary and one clock.

local fake_dict = require "spec.support.fake_dict"
local fake_native = require "spec.support.fake_native"
local fake_ngx = require "spec.support.fake_ngx"

local _M = {}
_M.__index = _M

--- Adds a worker to the node, with `kong.vault.shared_cache` as `cache`. `options`: those of the fake library, and `dict` (false:
-- none is declared).
function _M:worker(options)
  options = options or {}
  local native = fake_native.new(options)
  local dict = options.dict
  if dict == nil then
    dict = self.dict
  end
  local ngx = fake_ngx.new({ native = native, dict = dict })
  return {
    cache = ngx:load "kong.vault.shared_cache",
    waiters = ngx:load "kong.vault.waiters",
    native = native,
    ngx = ngx,
  }
end

--- Has a worker carry out one order. Returns what it replied.
function _M.reply(worker, ...)
  worker.native.replies = {}
  worker.cache.start(1, fake_native.order(...))
  assert(#worker.native.replies == 1, "one reply for an order")
  return worker.native.replies[1]
end

--- Marks a fetch of a worker as complete. The worker publishes it by these orders.
function _M.complete(worker, ticket, ...)
  worker.native.publications[ticket] = { ... }
  worker.native.complete[ticket] = true
  worker.cache.publish_if_owned(ticket)
end

--- Makes a node whose dictionary has room for so many bytes.
function _M.new(bytes)
  local clock = { time = 1000 }
  return setmetatable({ clock = clock, dict = fake_dict.new(clock, bytes) }, _M)
end

return _M
