-- Reloads, killed workers and binary upgrades under load, and what is left of them. See scripts/soak.

local fake = require "spec.support.fake"
local files = require "spec.support.files"
local load = require "spec.support.load"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local wait = require "spec.support.wait"

local socket = require "socket"

local WORKERS, RATE, CONNECTIONS = 2, 300, 12

-- Seconds after a worker's death in which its requests may fail.
local AFTERMATH = 0.5

-- Seconds for which workers serve before they are measured.
local SETTLE = 1

local _M = {}

-- Values that are renewed all the time, and some that are fetched for each request.
local function paths()
  local list = {}
  for i = 1, 20 do
    list[#list + 1] = nginx.value_path(("{vault://hcv/soak-%d/value}"):format(i))
  end
  for i = 1, 5 do
    list[#list + 1] = nginx.value_path(("{vault://hcv/anew-%d/value?ttl=0.001&resurrect_ttl=0}"):format(i))
  end
  return list
end

local function start(vault)
  vault:route("/v1/secret/anew-*", { delay = 0.05 })
  local env = {
    KONG_VAULT_HCV_PORT = vault.port,
    KONG_VAULT_HCV_TTL = "0.3",
    KONG_VAULT_FETCH_TIMEOUT = "5",
  }
  -- An upgraded nginx has only the variables that these name.
  local names = { "env TMPDIR;" }
  for name in pairs(env) do
    names[#names + 1] = "env " .. name .. ";"
  end
  return nginx.start({
    daemon = true,
    workers = WORKERS,
    env = env,
    main = table.concat(names, "\n"),
    http = "lua_shared_dict kong_secrets 5m;",
    init = [[require "kong.vault"]],
  })
end

-- Measures what nginx uses. It reloads first, so that the workers at the start and at the end are equally old.
local function measure(server)
  server:reload()
  wait.pass(SETTLE)
  local figures = { threads = 0, descriptors = 0, memory = 0 }
  figures.files = #files.list(server.tmp) + #files.list(server.cores)
  local pids = server:workers()
  figures.workers = #pids
  pids[#pids + 1] = server.process.pid
  for _, pid in ipairs(pids) do
    figures.threads = figures.threads + process.threads(pid)
    figures.descriptors = figures.descriptors + process.descriptors(pid)
    figures.memory = figures.memory + process.memory(pid)
  end
  figures.master_memory = process.memory(server.process.pid)
  return figures
end

-- Kills one worker. Returns the time.
local function kill(server)
  local victim = server:worker()
  local at = socket.gettime()
  process.send(victim, "KILL")
  wait.eventually("a killed worker is replaced", function()
    return #server:workers() == WORKERS and not process.alive(victim)
  end)
  return at
end

-- Spreads all steps evenly: a list of "reload", "kill", "upgrade".
local function plan(options)
  local steps = {}
  for what, number in pairs({ reload = options.reloads, kill = options.kills, upgrade = options.upgrades }) do
    for i = 1, number do
      steps[#steps + 1] = { what = what, at = (i - 0.5) / number }
    end
  end
  table.sort(steps, function(a, b)
    return a.at < b.at or (a.at == b.at and a.what < b.what)
  end)
  return steps
end

-- Returns the failed requests that no killed worker explains.
local function unexcused(samples, kills)
  local bad = {}
  local left = {}
  for _, sample in ipairs(samples) do
    if sample.status ~= 200 then
      local excused = false
      for i, at in ipairs(kills) do
        left[i] = left[i] or CONNECTIONS
        local ended = sample.at + sample.seconds
        if sample.status == 0 and ended >= at and sample.at <= at + AFTERMATH and left[i] > 0 then
          left[i], excused = left[i] - 1, true
          break
        end
      end
      if not excused then
        bad[#bad + 1] = ("%d %s"):format(sample.status, sample.body)
      end
    elseif not sample.body:find "^value of %w+%-%d+$" then
      bad[#bad + 1] = "200 " .. sample.body
    end
  end
  return bad
end

--- Does `reloads`, `kills` and `upgrades` as often as `options` says; `progress` is told of each. Returns `before` and
-- `after` (figures), `requests`, `lost` (by killed workers), `failures` (others) and `flaws` (of nginx itself).
function _M.run(options)
  local vault = fake.start()
  local server = start(vault)
  local running = load.start(server, { paths = paths(), rate = RATE, connections = CONNECTIONS, close = true })
  -- One of each before the first measurement: what the first ones leave behind does not grow.
  server:upgrade()
  kill(server)
  local from = socket.gettime() + AFTERMATH
  wait.pass(AFTERMATH)
  local result, kills = { before = measure(server) }, {}
  for _, step in ipairs(plan(options)) do
    if options.progress then
      options.progress(step.what)
    end
    if step.what == "kill" then
      kills[#kills + 1] = kill(server)
    else
      server[step.what](server)
    end
  end
  result.after = measure(server)
  local samples = running:stop():of(nil, from)
  result.requests, result.failures = #samples, unexcused(samples, kills)
  result.lost = -#result.failures
  for _, sample in ipairs(samples) do
    result.lost = result.lost + (sample.status ~= 200 and 1 or 0)
  end
  result.p99 = samples:percentile(99)
  result.status = server:stop("QUIT", 10)
  result.flaws = server:flaws({ "value of " })
  return result
end

-- Idle connections of a worker to the vault and of clients to it, which come and go.
local COMING_AND_GOING = 6

--- Returns what has grown by more than `percent`, as a list of texts.
function _M.grown(result, percent)
  local list = {}
  for name, before in pairs(result.before) do
    local after = result.after[name]
    local slack = name == "descriptors" and COMING_AND_GOING * result.before.workers or 0
    if after > before * (1 + percent / 100) + slack then
      list[#list + 1] = ("%s: %d, then %d"):format(name, before, after)
    end
  end
  table.sort(list)
  return list
end

return _M
