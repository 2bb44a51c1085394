-- A fake of the native library for unit specs: it notes what Lua asks of the engine, and answers as the spec says. Its functions
-- exist in the real library, and its numbers are the real ones. It decides nothing about the node's cache: the library decides
-- which order follows which reply, and tests/node_protocol.rs tests that. A spec lists the orders.

-- It sets the environment that other specs expect: the library captures it when it is loaded.
require "spec.support.fresh"

local real = require "kong.vault.native"

local _M = {}

-- Notes a call with its name and its arguments.
local function note(calls, name, ...)
  calls[#calls + 1] = { name, ... }
end

--- `options`: `fetch_timeout`, `breaker_interval`, seconds; `engine_error`, `is_throwaway`, `cache_size`.
function _M.new(options)
  options = options or {}
  local native, vm, names = {}, {}, {}
  for name, value in pairs(real) do
    if type(name) == "string" and name:find "^[%u_]+$" then
      native[name] = value
      names[value] = name
    end
  end

  -- What Lua had the engine do, in order.
  native.calls = {}
  -- The tickets of fetches that are complete.
  native.complete = {}
  -- By ticket: the orders with which the library answers Lua's replies, and those by which a complete fetch is published.
  native.orders, native.publications = {}, {}
  -- What Lua replied, in order.
  native.replies = {}
  -- Events that wait.
  native.events = {}
  -- Values that this worker has cached.
  native.cached = {}

  function native.is_complete(ticket)
    return native.complete[ticket] == true
  end

  function native.step(ticket, reply, document, owner, seconds)
    local noted = { reply = names[reply], document = document, owner = owner, seconds = seconds }
    native.replies[#native.replies + 1] = noted
    return table.remove(native.orders[ticket] or {}, 1)
  end

  function native.publish(ticket)
    local orders = native.complete[ticket] and native.publications[ticket]
    if orders then
      native.publications[ticket] = nil
      native.orders[ticket] = orders
      return table.remove(orders, 1)
    end
  end

  function vm.unpublished()
    local tickets = {}
    for ticket in pairs(native.publications) do
      tickets[#tickets + 1] = native.complete[ticket] and ticket or nil
    end
    return tickets
  end

  -- An event is a list of its kind, a ticket (or seconds), and an order or a text.
  function native.event()
    local kind, ticket, rest = unpack(table.remove(native.events, 1) or {}, 1, 3)
    if kind == native.COMPLETED then
      native.complete[ticket] = true
      rest = native.publish(ticket)
    end
    return kind, ticket, rest, native.events[1] ~= nil
  end

  function native.wire(number)
    return "subscription " .. number
  end

  function native.name_reference(reference)
    return reference
  end

  -- The counters, as the FFI gives them.
  native.generation = { [0] = 1 }
  native.epoch, native.seen_epoch = { [0] = { [0] = 0 } }, { [0] = 0 }
  native.answer = { generation = 1 }

  function vm.fetch_timeout()
    return options.fetch_timeout or 5
  end

  function vm.breaker_interval()
    return options.breaker_interval or 10
  end

  function vm.crowded_notice()
    local notice = native.notice
    native.notice = nil
    return notice
  end

  function vm.want_debug_lines() end

  function vm.debug_lines()
    local lines = native.debug_lines or {}
    native.debug_lines = nil
    return lines
  end

  -- Blocks until a fetch is complete.
  function vm.wait(_, ticket)
    note(native.calls, "wait", ticket)
    native.complete[ticket] = true
  end

  function vm.engine_address()
    if options.engine_error then
      return nil, options.engine_error
    end
    return "unix:engine"
  end

  function vm.notifier()
    return 7
  end

  function vm.quit()
    note(native.calls, "quit")
  end

  function vm.is_throwaway()
    return options.is_throwaway or false
  end

  function vm.cached(_, reference)
    return native.cached[reference]
  end

  -- Vaults that bring many secrets with one request.
  native.batching = {}

  function vm.fetches_in_batches(_, reference)
    return native.batching[reference:match "^{vault://([^/]*)"] or false
  end

  function vm.end_list()
    note(native.calls, "end_list")
  end

  function vm.cache_size()
    return options.cache_size or 100
  end

  native.vm = vm
  for name, value in pairs(native) do
    assert(type(value) ~= "function" or type(real[name]) == "function", "the library has no " .. name)
  end
  for name in pairs(vm) do
    assert(real.vm[name], "the library's vm has no " .. name)
  end
  return native
end

--- Makes an order of the library for a document or a vault. `fields`: `claim`, `rest`, `seconds`.
function _M.order(kind, name, fields)
  local order = { kind = assert(real[kind], kind), name = name, seconds = 0 }
  for field, value in pairs(fields or {}) do
    order[field] = value
  end
  return order
end

--- Returns the arguments of each call of `name` that Lua made, as "a b c".
function _M.calls(native, name)
  local found = {}
  for _, call in ipairs(native.calls) do
    if call[1] == name then
      local parts = {}
      for i = 2, table.maxn(call) do
        parts[#parts + 1] = tostring(call[i])
      end
      found[#found + 1] = table.concat(parts, " ")
    end
  end
  return found
end

return _M
