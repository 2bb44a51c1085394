-- scripts/bench --traces: what LuaJIT says (`jit.v`) while it compiles the hit path, in plain luajit. Add an argument to
-- see the machine code's intermediate form too (`jit.dump`).
--
-- Plain luajit keeps no copies, as nothing there would tell when they are over: they are put into the first-level cache here.

local l1 = require "kong.vault.l1"
local traces = require "bench.traces"
local vault = require "kong.vault"

local references = {}
for i = 1, 200 do
  references[i] = ("{vault://env/bench-%d}"):format(i)
  local value = assert(vault.get(references[i]))
  l1.sync()
  l1.values[references[i]] = value
end

require(arg[1] and "jit.dump" or "jit.v").on(arg[1] and "tbi")
local seen = traces.of(vault.get, references, 100000)
print(("vault.get: %d traces finished, %d aborted"):format(seen.finished, #seen.aborted))
for _, abort in ipairs(seen.aborted) do
  print("  " .. abort)
end
os.exit(#seen.aborted == 0)
