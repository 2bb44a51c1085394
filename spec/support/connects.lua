-- Records the addresses that a process connects or sends to, with all its threads, by `strace`.

local files = require "spec.support.files"
local process = require "spec.support.process"
local wait = require "spec.support.wait"

local _M = {}
_M.__index = _M

-- The system calls that have an address. What goes over a connected socket went by `connect` before.
local CALLS = "connect,sendto,sendmsg,sendmmsg"

function _M.available()
  return (process.run({ command = { "sh", "-c", "command -v strace" } })) == 0
end

local function is_traced(pid)
  for _, thread in ipairs(files.list(("/proc/%d/task"):format(pid))) do
    local status = files.read(("/proc/%d/task/%s/status"):format(pid, thread))
    if status and status:find "TracerPid:%s+0\n" then
      return false
    end
  end
  return true
end

--- Watches a process from now on.
function _M.watch(pid)
  local path = files.folder() .. "/strace"
  local tracer = process.start({
    command = { "strace", "-f", "-qq", "-s", "4096", "-e", "trace=" .. CALLS, "-o", path, "-p", tostring(pid) },
    output = path .. ".err",
  })
  if not wait.poll(function()
    return is_traced(pid)
  end) then
    error("strace can't attach: " .. (files.read(path .. ".err") or ""), 2)
  end
  return setmetatable({ tracer = tracer, path = path }, _M)
end

local function address_of(line)
  local family = line:match "sa_family=AF_(%w+)"
  if family == "INET" then
    local port, host = line:match 'sin_port=htons%((%d+)%), sin_addr=inet_addr%("([^"]+)"%)'
    return ("%s:%s"):format(host, port)
  elseif family == "UNIX" then
    return "unix:" .. (line:match 'sun_path=(@?"[^"]*")' or "")
  end
  return family and line:match "%b{}"
end

--- Ends the watch. Returns how often each address was used.
function _M:stop()
  self.tracer:signal "INT"
  self.tracer:wait()
  local found = {}
  for line in (files.read(self.path) or ""):gmatch "[^\n]+" do
    local address = address_of(line)
    if address then
      found[address] = (found[address] or 0) + 1
    end
  end
  return found
end

return _M
