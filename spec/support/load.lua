-- Puts steady load on an nginx, from another process, so that a spec can do other things meanwhile. The samples tell of each
-- request when it was sent, how long it took and what was answered.

local cjson = require "cjson"

local files = require "spec.support.files"
local process = require "spec.support.process"
local wait = require "spec.support.wait"

local _M = {}
_M.__index = _M

--- Starts the load, and returns once the first answers are there. `options`: `paths` (asked for in turn), `connections` (8),
-- `rate` (requests a second, for all connections; none: as fast as they are answered), `close` (a connection for each request, so
-- that none fails as nginx closes an idle one), `seconds` (how long at most).
function _M.start(server, options)
  local folder = files.folder()
  local self = setmetatable({ output = folder .. "/samples", stop_file = folder .. "/stop" }, _M)
  files.write(
    folder .. "/options",
    cjson.encode({
      port = server.port,
      paths = options.paths,
      connections = options.connections or 8,
      rate = options.rate,
      close = options.close,
      seconds = options.seconds,
      output = self.output,
      stop = self.stop_file,
    })
  )
  self.messages = folder .. "/messages"
  self.process = process.start({
    command = { "luajit", files.root .. "/spec/support/load_client.lua", folder .. "/options" },
    env = { LUA_PATH = package.path, LUA_CPATH = package.cpath },
    output = self.messages,
  })
  wait.eventually("the load begins", function()
    return #(files.read(self.output) or "") > 0 or self.process:ended()
  end)
  assert(not self.process:ended() or options.seconds, files.read(self.messages))
  return self
end

--- Ends the load, and returns the samples.
function _M:stop()
  files.write(self.stop_file, "")
  assert(self.process:wait(30) == 0, files.read(self.messages))
  return _M.read(self.output)
end

local Samples = {}
Samples.__index = Samples

function _M.read(path)
  local samples = setmetatable({}, Samples)
  for line in files.read(path):gmatch "[^\n]+" do
    local at, seconds, of, status, body = line:match "^(%S+)\t(%S+)\t(%S+)\t(%d+)\t(.*)$"
    samples[#samples + 1] =
      { at = tonumber(at), seconds = tonumber(seconds), path = of, status = tonumber(status), body = body }
  end
  return samples
end

--- Returns the samples of a path (nil: of all), sent between two times.
function Samples:of(path, from, to)
  local some = setmetatable({}, Samples)
  for _, sample in ipairs(self) do
    if (not path or sample.path == path) and sample.at >= (from or 0) and sample.at < (to or math.huge) then
      some[#some + 1] = sample
    end
  end
  return some
end

--- Returns the samples that were not answered with 200, as a list of texts (each text once, with its number).
function Samples:failures()
  local counts, texts = {}, {}
  for _, sample in ipairs(self) do
    if sample.status ~= 200 then
      local text = sample.status .. " " .. sample.body
      counts[text] = (counts[text] or 0) + 1
    end
  end
  for text, count in pairs(counts) do
    texts[#texts + 1] = count .. " × " .. text
  end
  table.sort(texts)
  return texts
end

--- Returns the latency that `percent` of the samples don't exceed, in seconds.
function Samples:percentile(percent)
  local all = {}
  for i, sample in ipairs(self) do
    all[i] = sample.seconds
  end
  table.sort(all)
  return all[math.max(1, math.ceil(#all * percent / 100))]
end

return _M
