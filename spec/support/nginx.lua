-- A real nginx on free loopback ports, in a folder of its own.
--
-- `start` takes pieces of its configuration and of Lua. In all of them `{{NAME}}` stands for a port (one of `ports`, or `port`
-- itself), for `prefix` (the folder), `root` (the project's) or for one of `vars`. Where another process takes a port first, it
-- tries others.

local cjson = require "cjson"

local files = require "spec.support.files"
local http = require "spec.support.http"
local pack = require "spec.support.pack"
local process = require "spec.support.process"
local occurrences = require("spec.support.text").occurrences
local wait = require "spec.support.wait"

-- Debian's modules. Where they are not installed, Lua must be built in, as in OpenResty.
local MODULES = {
  "/usr/lib/nginx/modules/ndk_http_module.so",
  "/usr/lib/nginx/modules/ngx_http_lua_module.so",
}

-- The path of nginx: to start a new binary of itself, nginx needs the whole path.
local PROGRAM
for _, folder in ipairs({ "/usr/sbin", "/usr/local/sbin", "/usr/local/openresty/nginx/sbin" }) do
  PROGRAM = PROGRAM or files.exists(folder .. "/nginx") and folder .. "/nginx"
end

local _M = {}
_M.__index = _M

local TEMPLATE = [[
{{modules}}
daemon {{daemon}};
pid {{prefix}}/nginx.pid;
error_log {{prefix}}/error.log {{level}};
worker_processes {{workers}};
worker_rlimit_core 500m;
working_directory {{prefix}}/cores; # and with it, core files
{{main}}
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path {{prefix}}/body;
  proxy_temp_path {{prefix}}/proxy;
  fastcgi_temp_path {{prefix}}/fastcgi;
  uwsgi_temp_path {{prefix}}/uwsgi;
  scgi_temp_path {{prefix}}/scgi;
  client_max_body_size 200m;
  lua_socket_log_errors off;
  lua_package_path "{{lua_path}};{{root}}/?.lua;;";
  lua_package_cpath "{{lua_cpath}};;";
  lua_shared_dict results 1m;
  {{http}}
  server {
    listen 127.0.0.1:{{port}} backlog=4096;
    location = /_ready { return 200; }
    location = /_value { content_by_lua_block { require("spec.support.inside").value() } }
    location = /_eval { content_by_lua_block { require("spec.support.inside").eval() } }
    {{server}}
  }
}
]]

local function block(name, lua)
  return lua and ("%s { %s }"):format(name, lua) or ""
end

local function modules()
  local lines = {}
  for _, path in ipairs(MODULES) do
    lines[#lines + 1] = files.exists(path) and ("load_module %s;"):format(path) or nil
  end
  return table.concat(lines, "\n")
end

local function user(name)
  if not process.is_root then
    return ""
  end
  return "user " .. (name or "root") .. ";\n"
end

--- Replaces the names of ports and the like in a text.
function _M:fill(text)
  local function fill(name)
    return tostring(self.vars[name] or error("nothing is called {{" .. name .. "}}"))
  end
  -- Twice: what is filled in may hold names itself.
  return (text:gsub("{{([%w_]+)}}", fill):gsub("{{([%w_]+)}}", fill))
end

--- Writes the configuration for the next reload; `reload` does both.
function _M:write(options)
  local single = options.master == false and "master_process off;\n" or ""
  self.vars.main = user(options.user) .. single .. (options.main or "")
  self.vars.http = table.concat({
    block("init_by_lua_block", options.init),
    block("init_worker_by_lua_block", options.init_worker),
    block("exit_worker_by_lua_block", options.exit_worker),
    options.http or "",
  }, "\n")
  self.vars.server = options.server or ""
  self.vars.workers = options.workers or 1
  files.write(self.prefix .. "/nginx.conf", self:fill(options.config or TEMPLATE))
end

local function is_port_taken(log)
  return log:find("Address already in use", 1, true) ~= nil
end

local function try_start(options)
  local self = setmetatable({ prefix = files.folder() }, _M)
  self.vars = {
    prefix = self.prefix,
    root = files.root,
    modules = modules(),
    level = options.level or "info",
    daemon = options.daemon and "on" or "off",
    lua_path = options.lua_path or (files.root .. "/lua/?.lua"),
    lua_cpath = options.lua_cpath or (files.root .. "/build/lib/?.so"),
    port = process.free_port(),
  }
  for _, name in ipairs(options.ports or {}) do
    self.vars[name] = process.free_port()
  end
  for name, value in pairs(options.vars or {}) do
    self.vars[name] = value
  end
  self.port, self.ready_path = self.vars.port, options.ready or "/_ready"
  self.under = options.under or {}
  -- For its workers, of whichever user. Nothing may be left in these folders.
  self.tmp, self.cores = files.mkdir(self.prefix .. "/tmp"), files.mkdir(self.prefix .. "/cores")
  files.chmod(self.tmp, 511) -- 0777
  files.chmod(self.cores, 511)
  for name, text in pairs(options.files or {}) do
    files.write(self.prefix .. "/" .. name, text)
  end
  self:write(options)
  self.env = { TMPDIR = self.tmp }
  for name, value in pairs(options.env or {}) do
    self.env[name] = tostring(value):gsub("{{([%w_]+)}}", self.vars)
  end
  self:launch()
  return self
end

--- Starts nginx, also after it has ended: on the same ports.
function _M:launch()
  local command = { PROGRAM or "nginx", "-p", self.prefix, "-e", self.prefix .. "/error.log", "-c", "nginx.conf" }
  for i, word in ipairs(self.under) do
    table.insert(command, i, word)
  end
  self.process = process.start({
    command = command,
    env = self.env,
    output = self.prefix .. "/output",
  })
  wait.poll(function()
    return self:is_ready() or (self.vars.daemon == "off" and self.process:ended())
  end, 30)
  local pid = self.vars.daemon == "on" and self:written_pid()
  if pid then
    self.process = process.adopt(pid)
  end
end

--- Returns the pid of the master that nginx has written to its file.
function _M:written_pid()
  return tonumber((files.read(self.prefix .. "/nginx.pid") or ""):match "%d+")
end

--- Starts nginx. `options`: `env`; `main`, `http`, `server` (configuration); `init`, `init_worker`, `exit_worker` (Lua);
-- `workers`, `user`, `master`, `daemon`, `level`, `ports`, `vars`, `lua_path`, `lua_cpath`; `under`, a command that runs nginx,
-- such as Valgrind's (a list; it must become nginx, not start it). `config` replaces all other configuration, with `ready`, a
-- path that it answers, and `files`, by name.
function _M.start(options)
  for _ = 1, 5 do
    local self = try_start(options)
    if not self.process:ended() and self:is_ready() then
      return self
    end
    local log = self:log()
    self.process:stop()
    if not is_port_taken(log) then
      error("nginx does not start:\n" .. log, 2)
    end
  end
  error("nginx finds no free port", 2)
end

--- Whether nginx answers.
function _M:is_ready()
  local ok, answer = pcall(http.request, self.port, self.ready_path)
  return ok and answer ~= nil and answer.status < 500
end

--- Returns all that nginx and its workers logged.
function _M:log()
  return (files.read(self.prefix .. "/error.log") or "") .. (files.read(self.prefix .. "/output") or "")
end

--- Returns how often a text stands in the log.
function _M:logged(text)
  return occurrences(self:log(), text)
end

--- Returns the pids of the workers; without a master, the pid of the only process.
function _M:workers()
  local workers = process.children(self.process.pid)
  return #workers > 0 and workers or { self.process.pid }
end

function _M:worker()
  return self:workers()[1]
end

function _M:signal(name)
  self.process:signal(name)
end

local function gone(pids)
  for _, pid in ipairs(pids) do
    if process.alive(pid) then
      return false
    end
  end
  return true
end

--- Has the master read the configuration again, with other pieces. Returns once all the old workers have ended.
function _M:reload(options)
  local before = self:workers()
  if options then
    self:write(options)
  end
  self:signal "HUP"
  wait.eventually("the old workers end after a reload", function()
    return gone(before) and self:is_ready()
  end)
end

--- Kills master and workers, as a crash of the machine would.
function _M:kill()
  local workers = self:workers()
  self:signal "KILL"
  for _, pid in ipairs(workers) do
    process.send(pid, "KILL")
  end
  self.process:wait()
  wait.eventually("nginx is gone", function()
    process.reap(workers)
    return gone(workers)
  end)
end

--- Upgrades the binary: a new master with workers of its own replaces the old one. The new master has only those variables that
-- `env` directives name. nginx must be a `daemon`: without a daemon, it assumes that an upgrade is under way.
function _M:upgrade()
  local old, before = self.process, self:workers()
  self:signal "USR2"
  local pid = wait.eventually("there is a new master", function()
    local written = self:written_pid()
    return written and written ~= old.pid and #process.children(written) == self.vars.workers and written
  end)
  old:signal "QUIT"
  wait.eventually("the old nginx ends", function()
    return old:ended() and gone(before)
  end)
  self.process = process.adopt(pid)
end

--- Returns the path whose answer is the values of references, with blanks between them; 502 where one has no value.
function _M.value_path(...)
  local escaped = {}
  for i, reference in ipairs({ ... }) do
    escaped[i] = http.escape(reference)
  end
  return "/_value?r=" .. table.concat(escaped, "|")
end

function _M:open(path, more)
  return http.open(self.port, path, more)
end

function _M:get(path, more)
  return http.request(self.port, path, more)
end

--- Starts Lua in a request of its own (content phase). Returns a request whose `read` returns what the Lua returned.
function _M:begin(lua, ...)
  local connection = self:open("/_eval", { body = lua, headers = { ["X-Arguments"] = pack.encode(...) } })
  return {
    read = function()
      local answer = assert(connection:read())
      assert(answer.status == 200, answer.body)
      return pack.decode(answer.body)
    end,
    close = function()
      connection:close()
    end,
  }
end

--- Runs Lua in a worker and returns what it returned.
function _M:eval(lua, ...)
  return self:begin(lua, ...).read()
end

--- `kong.vault.get` in a worker: value, err.
function _M:value(reference)
  return self:eval("return require('kong.vault').get(...)", reference)
end

--- The same without waiting. Returns a request whose `read` returns value, err.
function _M:ask(reference)
  return self:begin("return require('kong.vault').get(...)", reference)
end

--- `kong.vault.stats()` of a worker.
function _M:stats()
  return self:eval "return require('kong.vault').stats()"
end

--- Returns what `inside.note` has stored under a name: value, err, phase; nothing before it did.
function _M:noted(name)
  local text = self:eval("return ngx.shared.results:get(...)", name)
  local note = text and cjson.decode(text)
  if note then
    return note.value, note.err, note.phase
  end
end

--- Ends nginx (`QUIT` ends gracefully) and returns how it ended, or nil after `seconds`.
function _M:stop(signal, seconds)
  self:signal(signal or "TERM")
  return self.process:wait(seconds)
end

--- Returns what no nginx may have, whatever it went through: a crash, a panic, a secret in its log, files left behind.
function _M:flaws(secrets)
  local log, found = self:log(), {}
  for line in log:gmatch "[^\n]+" do
    -- A worker that was killed by a spec (9, 15) did not crash.
    local signal = tonumber(line:match "exited on signal (%d+)")
    if signal and signal ~= 9 and signal ~= 15 or line:find("panicked at", 1, true) then
      found[#found + 1] = line
    end
  end
  for _, secret in ipairs(secrets or {}) do
    if log:find(secret, 1, true) then
      found[#found + 1] = "the log holds " .. secret
    end
  end
  for _, folder in ipairs({ self.tmp, self.cores }) do
    for _, name in ipairs(files.list(folder)) do
      found[#found + 1] = folder .. "/" .. name .. " was left behind"
    end
  end
  return found
end

--- What nginx says is wrong with a configuration; nil where nothing is.
function _M.flaw(text)
  local folder = files.folder()
  files.write(folder .. "/nginx.conf", ("%s\npid %s/pid;\n%s"):format(modules(), folder, text))
  local command = { PROGRAM or "nginx", "-t", "-q", "-p", folder, "-e", folder .. "/error.log", "-c", "nginx.conf" }
  local status, output = process.run({ command = command, env = {} })
  return status ~= 0 and output or nil
end

return _M
