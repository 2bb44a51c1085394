-- A pretended native library for unit specs: it notes what Lua asks of the engine, and answers as the spec says. What it pretends
-- to have, the real library has; its numbers are the real ones.

-- It sets the environment that other specs expect: the library captures it when it is loaded.
require "spec.support.fresh"

local fake_machine = require "spec.support.fake_machine"
local real = require "kong.vault.native"

local _M = {}

-- Notes a call: its name and its arguments.
local function note(calls, name, ...)
  calls[#calls + 1] = { name, ... }
end

--- `options`: `address` (by which other workers ask this one; nil: no socket), `fetch_timeout`, `breaker_interval`, seconds.
function _M.new(options)
  options = options or {}
  local native, vm, engine = {}, {}, {}
  for name, value in pairs(real) do
    if type(name) == "string" and name:find "^[%u_]+$" then
      native[name] = value
    end
  end

  -- What Lua had the engine do, in order.
  native.calls = {}
  -- Outcomes by ticket, and the tickets of fetches that are complete.
  native.outcomes, native.complete = {}, {}
  -- Which sealed outcomes complete a created fetch; which claims are of fetches that began too early; what `skip_probe` answers.
  native.accepts, native.too_early, native.skips_probes = {}, {}, true
  -- Events that wait, and the notice.
  native.events = {}
  -- Values that this worker has cached.
  native.cached = {}

  function engine.take_shared(ticket, sealed)
    note(native.calls, "take_shared", ticket, sealed)
    if native.complete[ticket] or sealed and native.accepts[sealed] then
      native.complete[ticket] = true
      return true
    end
    return false
  end

  function engine.start(ticket, peer, owned)
    note(native.calls, "start", ticket, peer or "vault", owned)
    return not (peer and native.too_early[peer])
  end

  function native.is_complete(ticket)
    return native.complete[ticket] == true
  end

  function engine.sealed_outcome(ticket, known)
    note(native.calls, "sealed_outcome", ticket, known)
    local outcome = native.outcomes[ticket]
    if outcome then
      return outcome.sealed, outcome.seconds or 0
    end
  end

  local machine = fake_machine.new(native, engine, options)

  function native.step(ticket, ...)
    return machine.step(ticket, ...)
  end

  function native.publish(ticket)
    return machine.publish(ticket)
  end

  function vm.unpublished()
    return machine.unpublished()
  end

  -- Events that a spec names by a document are given with the order that the machine has for it.
  function native.event()
    local kind, ticket, text = unpack(table.remove(native.events, 1) or {}, 1, 3)
    local more = native.events[1] ~= nil
    if kind == native.START then
      local name, rest = text:sub(1, 32), text:sub(33)
      local is_probe = #rest == 32
      return kind,
        ticket,
        machine.start(ticket, name, not is_probe and rest ~= "" and rest or nil, is_probe and rest),
        more
    elseif kind == native.COMPLETED then
      native.complete[ticket] = true
      return kind, ticket, machine.publish(ticket), more
    end
    return kind, ticket, text, more
  end

  function native.wire(number)
    return "subscription " .. number
  end

  function native.name_reference(reference)
    return reference
  end

  -- The counters, as the FFI shows them.
  native.generation = { [0] = 1 }
  native.epoch, native.seen_epoch = { [0] = { [0] = 0 } }, { [0] = 0 }
  native.answer = { generation = 1 }

  function vm.fetch_timeout()
    return options.fetch_timeout or 5
  end

  function vm.breaker_interval()
    return options.breaker_interval or 10
  end

  function engine.inherit_previous(ticket, document)
    note(native.calls, "inherit_previous", ticket, document)
    return true
  end

  function engine.skip_probe(ticket, seconds)
    note(native.calls, "skip_probe", ticket, seconds)
    if native.skips_probes then
      native.complete[ticket] = true
    end
    return native.skips_probes
  end

  function vm.crowded_notice()
    local notice = native.notice
    native.notice = nil
    return notice
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

  function vm.cache_size()
    return options.cache_size or 100
  end

  native.vm = vm
  native.machine = machine
  for name, value in pairs(native) do
    assert(type(value) ~= "function" or type(real[name]) == "function", "the library has no " .. name)
  end
  for name in pairs(vm) do
    assert(real.vm[name], "the library's vm has no " .. name)
  end
  return native
end

--- The calls of a name that Lua made, each as "a b c".
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
