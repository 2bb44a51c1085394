-- A collector of OpenTelemetry's spans (otlp_collector.py).

local cjson = require "cjson"

local files = require "spec.support.files"
local http = require "spec.support.http"
local process = require "spec.support.process"
local wait = require "spec.support.wait"

local _M = {}
_M.__index = _M

--- Returns a Python that has OpenTelemetry's messages; nil where there is none.
function _M.python()
  local python = files.program("TEST_OTLP_PYTHON", ".venv/bin/python")
  return python and process.run({ command = { python, "-c", "import opentelemetry.proto" } }) == 0 and python or nil
end

local function try_start(python)
  local self = setmetatable({ port = process.free_port() }, _M)
  self.process = process.start({
    command = { python, files.root .. "/spec/support/otlp_collector.py", tostring(self.port) },
    output = files.folder() .. "/output",
  })
  wait.poll(function()
    local ok, answer = pcall(http.request, self.port, "/spans")
    return self.process:ended() or ok and answer ~= nil and answer.status == 200
  end, 60)
  return self
end

function _M.start()
  for _ = 1, 5 do
    local self = try_start(assert(_M.python()))
    if not self.process:ended() then
      self.url = "http://127.0.0.1:" .. self.port
      return self
    end
    print(files.read(self.process.output))
  end
  error "the collector does not start"
end

--- Returns all spans that it has taken.
function _M:spans()
  return cjson.decode(assert(http.request(self.port, "/spans")).body)
end

--- Returns the headers of the last request with spans, by their names in lower case.
function _M:headers()
  return cjson.decode(assert(http.request(self.port, "/headers")).body)
end

--- Returns the spans whose attribute has a value.
function _M:with(name, value)
  local found = {}
  for _, span in ipairs(self:spans()) do
    if span.attributes[name] == value then
      found[#found + 1] = span
    end
  end
  return found
end

return _M
