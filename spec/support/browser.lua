-- A real Chromium, headless. What it does on pages is in spec/browser, in JavaScript, which a driver runs at a spec's request.

local cjson = require "cjson"

local files = require "spec.support.files"
local http = require "spec.support.http"
local process = require "spec.support.process"
local wait = require "spec.support.wait"

-- What scripts/setup has installed.
local MODULES = files.root .. "/.work/browser/node_modules"

local _M = {}
_M.__index = _M

local function program(...)
  for _, name in ipairs({ ... }) do
    for folder in (os.getenv "PATH"):gmatch "[^:]+" do
      if files.exists(folder .. "/" .. name) then
        return folder .. "/" .. name
      end
    end
  end
end

-- Debian's shell is the same engine without a browser's windows, which nobody sees here: it takes half of the time.
local function chromium()
  return program("chromium-headless-shell", "chromium", "chromium-browser")
end

--- Why there is no browser here; nil where there is one.
function _M.lacking()
  if not chromium() then
    return "Chromium"
  elseif not program "node" then
    return "Node.js"
  elseif not (files.exists(MODULES .. "/playwright-core") and files.exists(MODULES .. "/axe-core")) then
    return "the npm packages of spec/browser (.work/browser)"
  end
end

function _M:launch()
  self.port = process.free_port()
  self.process = process.start({
    command = { program "node", files.root .. "/spec/browser/driver.js", tostring(self.port), MODULES },
    -- Its profile is below TMPDIR.
    env = { HOME = self.home, TMPDIR = self.home, CHROMIUM = chromium(), LANG = "C.UTF-8" },
    output = self.home .. "/output",
  })
end

--- Starts the browser. The first `run` waits for it: other servers can start meanwhile.
function _M.start()
  local self = setmetatable({ home = files.folder(), sessions = {} }, _M)
  self:launch()
  return self
end

-- Waits until it is there. Tries again where another process takes its port first.
function _M:await()
  for _ = 1, 3 do
    local is_there = wait.poll(function()
      return pcall(http.request, self.port, "/") or self.process:ended() and "ended"
    end, 60)
    if is_there == true then
      self.is_ready = true
      return
    end
    self:launch()
  end
  error("no browser starts: " .. tostring(files.read(self.home .. "/output")))
end

--- Runs a function of spec/browser, such as `walk/create`, with one argument. Returns what it returns; raises what it raises.
function _M:run(name, argument)
  if not self.is_ready then
    self:await()
  end
  local answer = assert(http.request(self.port, "/" .. name, { method = "POST", body = cjson.encode(argument or {}) }))
  if answer.status ~= 200 then
    error(answer.body, 0)
  end
  return cjson.decode(answer.body)
end

-- The session of a process, which its children share; nil where it has ended.
local function session(pid)
  return (files.read(("/proc/%s/stat"):format(pid)) or ""):match "^.*%) %a %d+ %d+ (%d+)"
end

--- Returns the pids of all processes of this browser. Those that don't name its profile are in the session of one that did when
-- this was called before.
function _M:processes()
  local pids = {}
  for _, pid in ipairs(files.list "/proc") do
    pids[#pids + 1] = pid:match "^%d+$"
  end
  for _, pid in ipairs(pids) do
    local command, own = files.read(("/proc/%s/cmdline"):format(pid)) or "", session(pid)
    if own and command:find(self.home, 1, true) then
      self.sessions[own] = true
    end
  end
  local found = {}
  for _, pid in ipairs(pids) do
    if self.sessions[session(pid)] and process.alive(pid) then
      found[#found + 1] = tonumber(pid)
    end
  end
  return found
end

return _M
