-- The command behind scripts/soak.

local cleanup = require "spec.support.cleanup"
local soak = require "spec.support.soak"

local PERCENT = 5

local options = { reloads = 200, kills = 50, upgrades = 5 }

local function usage()
  io.stderr:write "usage: scripts/soak [--reloads NUMBER] [--kills NUMBER] [--upgrades NUMBER]\n"
  os.exit(2)
end

for i = 1, #arg, 2 do
  local name = arg[i]:match "^%-%-(%l+)$"
  if not options[name] or not tonumber(arg[i + 1]) then
    usage()
  end
  options[name] = tonumber(arg[i + 1])
end

local done = 0
local total = options.reloads + options.kills + options.upgrades
function options.progress()
  done = done + 1
  if done % 10 == 0 or done == total then
    io.stderr:write(("\r%d of %d"):format(done, total))
  end
end

local ran, result = xpcall(soak.run, debug.traceback, options)
cleanup.run()
io.stderr:write "\n"
if not ran then
  io.stderr:write(result, "\n")
  os.exit(1)
end

print(("%d reloads, %d killed workers, %d upgrades"):format(options.reloads, options.kills, options.upgrades))
print(
  ("%d requests, %d lost with killed workers, %d failed, p99 %.1f ms"):format(
    result.requests,
    result.lost,
    #result.failures,
    result.p99 * 1000
  )
)
print(("%-16s %10s %10s"):format("", "before", "after"))
for _, name in ipairs({ "workers", "threads", "descriptors", "memory", "master_memory", "files" }) do
  local unit = name:find "memory" and " kB" or ""
  print(("%-16s %10d %10d%s"):format(name, result.before[name], result.after[name], unit))
end

local wrong = soak.grown(result, PERCENT)
for _, list in ipairs({ result.failures, result.flaws }) do
  for i, text in ipairs(list) do
    wrong[#wrong + 1] = i <= 10 and text or nil
  end
end
if result.status ~= 0 then
  wrong[#wrong + 1] = "nginx did not end well: " .. tostring(result.status)
end
for _, text in ipairs(wrong) do
  print("WRONG: " .. text)
end
os.exit(#wrong == 0 and 0 or 1)
