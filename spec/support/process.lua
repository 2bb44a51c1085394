-- Processes with an environment of their own. `cleanup` ends each by its pid; where the specs' own process dies, the kernel does.

local ffi = require "ffi"
local socket = require "socket"

local cleanup = require "spec.support.cleanup"
local files = require "spec.support.files"
local wait = require "spec.support.wait"

ffi.cdef [[
int posix_spawnp(int *pid, const char *file, const void *actions, const void *attributes, char *const argv[],
                 char *const envp[]);
int posix_spawn_file_actions_init(void *actions);
int posix_spawn_file_actions_addopen(void *actions, int fd, const char *path, int flags, unsigned int mode);
int posix_spawn_file_actions_addclosefrom_np(void *actions, int from);
int posix_spawn_file_actions_destroy(void *actions);
int waitpid(int pid, int *status, int options);
int kill(int pid, int signal);
unsigned int getuid(void);
int prctl(int option, unsigned long argument, unsigned long, unsigned long, unsigned long);
]]

local C = ffi.C

local SIGNALS =
  { HUP = 1, INT = 2, QUIT = 3, KILL = 9, USR1 = 10, USR2 = 12, TERM = 15, CONT = 18, STOP = 19, WINCH = 28 }
local WNOHANG = 1
-- Grandchildren whose parents have ended become children of this process: an nginx that was upgraded, workers without a master.
local PR_SET_CHILD_SUBREAPER = 36
C.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

local O_RDONLY, O_WRONLY_CREATE_APPEND = 0, 0x441

local _M = { is_root = C.getuid() == 0 }
_M.__index = _M

-- A NULL-terminated array of C strings, and what keeps them alive.
local function strings(list)
  local array, kept = ffi.new("char *[?]", #list + 1), {}
  for i, text in ipairs(list) do
    kept[i] = ffi.new("char[?]", #text + 1, text)
    array[i - 1] = kept[i]
  end
  return array, kept
end

--- Starts a program. `spec`: `command` (a list), `env` (the whole environment but for PATH), `output` (a file).
function _M.start(spec)
  -- This is more than any structure of glibc has, which are of about 80 bytes.
  local actions = ffi.new "char[512]"
  C.posix_spawn_file_actions_init(actions)
  C.posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0)
  for fd = 1, 2 do
    C.posix_spawn_file_actions_addopen(actions, fd, spec.output or "/dev/null", O_WRONLY_CREATE_APPEND, 420)
  end
  -- The process must not inherit the specs' own sockets: it would hold them open, and they would count as its own.
  C.posix_spawn_file_actions_addclosefrom_np(actions, 3)
  -- nginx is in /usr/sbin, which not everybody's PATH has.
  local env = { ("PATH=%s:/usr/sbin"):format(os.getenv "PATH") }
  for name, value in pairs(spec.env or {}) do
    env[#env + 1] = name .. "=" .. value
  end
  -- The kernel ends it where busted is killed and no cleanup runs.
  local argv = { "setpriv", "--pdeathsig", "TERM", "--", unpack(spec.command) }
  local argv_array, argv_kept = strings(argv)
  local env_array, env_kept = strings(env)
  local pid = ffi.new "int[1]"
  local failed = C.posix_spawnp(pid, "setpriv", actions, nil, argv_array, env_array)
  C.posix_spawn_file_actions_destroy(actions)
  assert(failed == 0 and argv_kept and env_kept, "can't start " .. spec.command[1])
  local self = setmetatable({ pid = pid[0], output = spec.output }, _M)
  cleanup.add(function()
    self:stop()
  end)
  return self
end

--- Takes over a process that another one started, whose parent has ended or will end.
function _M.adopt(pid)
  local self = setmetatable({ pid = pid }, _M)
  cleanup.add(function()
    self:stop()
  end)
  return self
end

--- Returns how it ended: its exit status, or -signal; nil while it runs.
function _M:ended()
  if not self.status then
    local status = ffi.new "int[1]"
    if C.waitpid(self.pid, status, WNOHANG) == self.pid then
      local signal = status[0] % 128
      self.status = signal > 0 and -signal or math.floor(status[0] / 256) % 256
    end
  end
  return self.status
end

function _M:signal(name)
  if not self:ended() then
    C.kill(self.pid, SIGNALS[name])
  end
end

--- Waits for its end. Returns how it ended, or nil after `seconds`.
function _M:wait(seconds)
  wait.poll(function()
    return self:ended()
  end, seconds)
  return self.status
end

function _M:stop()
  self:signal "TERM"
  if not self:wait(5) then
    self:signal "KILL"
    self:wait(5)
  end
end

--- Sends a signal to a process that is not a child of this one, such as a worker of nginx. Returns once a process that is to stop
-- has stopped: until then it may still accept a connection, and keep it.
function _M.send(pid, name)
  local sent = C.kill(pid, SIGNALS[name]) == 0
  if sent and name == "STOP" then
    wait.eventually("the process is stopped", function()
      local stat = files.read(("/proc/%d/stat"):format(pid))
      return not stat or stat:match "%) T" ~= nil
    end)
  end
  return sent
end

--- Reaps children that nobody waits for, such as workers whose master was killed.
function _M.reap(pids)
  local status = ffi.new "int[1]"
  for _, pid in ipairs(pids) do
    C.waitpid(pid, status, WNOHANG)
  end
end

--- Runs a program to its end. Returns its exit status and all that it wrote.
function _M.run(spec)
  local output = files.folder() .. "/output"
  local running = _M.start({ command = spec.command, env = spec.env, output = output })
  local status = running:wait(spec.seconds or 30)
  running:stop()
  return status, files.read(output)
end

--- Returns a TCP port of 127.0.0.1 that nobody listens on at the moment.
function _M.free_port()
  local listener = assert(socket.bind("127.0.0.1", 0))
  local _, port = listener:getsockname()
  listener:close()
  return tonumber(port)
end

-- What /proc says of a process.

--- Returns its children, which for nginx are the workers, sorted.
function _M.children(pid)
  local found = {}
  for child in (files.read(("/proc/%d/task/%d/children"):format(pid, pid)) or ""):gmatch "%d+" do
    found[#found + 1] = tonumber(child)
  end
  table.sort(found)
  return found
end

--- Returns how many threads a process has; 0 after its end.
function _M.threads(pid)
  return #files.list(("/proc/%d/task"):format(pid))
end

--- Returns the seconds for which its threads have run, in the kernel's hundredths.
function _M.cpu(pid)
  local fields = files.read(("/proc/%d/stat"):format(pid)):match "%) (.*)$"
  local user, system = fields:match(("%S+ "):rep(11) .. "(%d+) (%d+)")
  return (user + system) / 100
end

--- Returns its resident memory, in kB.
function _M.memory(pid)
  return _M.status_of(pid, "VmRSS") or 0
end

--- Returns how many descriptors a process has open.
function _M.descriptors(pid)
  return #files.list(("/proc/%d/fd"):format(pid))
end

--- Returns a number of /proc/PID/status, such as "VmHWM" (in kB).
function _M.status_of(pid, field)
  return tonumber((files.read(("/proc/%d/status"):format(pid)) or ""):match(field .. ":%s*(%d+)"))
end

function _M.alive(pid)
  return files.exists("/proc/" .. pid) and not (files.read(("/proc/%d/stat"):format(pid)) or ""):match "%) Z"
end

return _M
