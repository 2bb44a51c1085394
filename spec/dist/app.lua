-- The application of scripts/test-dist: it answers with secrets, and tells what this nginx is.

local vault = require "kong.vault"

local _M = {}

-- Has the phase named `phase` read its secret, or that of another phase, and notes what came.
function _M.at(phase, secret)
  local value, err = vault.get("{vault://hcv/dist/" .. (secret or phase) .. "/value}")
  ngx.shared.seen:set(phase, value or "error: " .. tostring(err))
end

-- What each phase has noted.
function _M.seen()
  for _, phase in ipairs(ngx.shared.seen:get_keys(0)) do
    ngx.say(phase, "\t", ngx.shared.seen:get(phase))
  end
end

function _M.get()
  local value, err = vault.get(ngx.unescape_uri(ngx.var.arg_reference))
  if not value then
    ngx.status = 502
  end
  ngx.print(value or err)
end

-- Says which worker answers, and how many fetches its answer took.
function _M.worker()
  local before = vault.stats().fetches
  local value, err = vault.get(ngx.unescape_uri(ngx.var.arg_reference))
  ngx.say(ngx.worker.pid(), "\t", vault.stats().fetches - before, "\t", value or err)
end

local function dotted(number)
  return string.format("%d.%d.%d", math.floor(number / 1000000), math.floor(number / 1000) % 1000, number % 1000)
end

-- Returns the version of a module, if it is installed.
local function version(name)
  local found, module = pcall(require, name)
  if not found then
    return "none"
  end
  return type(module) == "table" and (module.version or module._VERSION) or "?"
end

function _M.versions()
  ngx.say("nginx\t", dotted(ngx.config.nginx_version))
  ngx.say("ngx_lua\t", dotted(ngx.config.ngx_lua_version))
  ngx.say("LuaJIT\t", (jit.version:gsub("^LuaJIT ", "")))
  ngx.say("lua-resty-core\t", version "resty.core.base")
  ngx.say("ngx.semaphore\t", (pcall(require, "ngx.semaphore")) and "yes" or "none")
end

return _M
