-- A server that answers as no real one can be made to: held back until a spec says so, cut off, endless, malformed. It is an
-- nginx that runs `fake_server.lua`, and counts the requests for each path.
--
-- Without a route, `/v1/<mount>/<name>` answers like HashiCorp Vault's KV v1, with the document
-- `{"value":"value of <name>","count":"<how many requests there were for this path>"}`. A `dated` server adds `at`, the time of
-- the answer, which tells how old a value is.

local http = require "spec.support.http"
local cjson = require "cjson"
local nginx = require "spec.support.nginx"
local wait = require "spec.support.wait"

local _M = {}
_M.__index = _M

--- Starts the server. `certificates`: a list of `{ certificate, key }`, each gets a TLS port (`tls_ports`).
function _M.start(certificates, options)
  local dated = options and options.dated and "{ dated = true }" or ""
  local ports, servers = {}, {}
  for i, pair in ipairs(certificates or {}) do
    ports[i] = "tls" .. i
    servers[i] = ([[
      server {
        listen 127.0.0.1:{{tls%d}} ssl;
        ssl_certificate %s;
        ssl_certificate_key %s;
        location / { content_by_lua_block { require("spec.support.fake_server").serve(%s) } }
      }
    ]]):format(i, pair.certificate, pair.key, dated)
  end
  local server = nginx.start({
    ports = ports,
    level = "error",
    http = table.concat(servers),
    server = ([[
      location = /_control { content_by_lua_block { require("spec.support.fake_server").control() } }
      location / { content_by_lua_block { require("spec.support.fake_server").serve(%s) } }
    ]]):format(dated),
    main = "worker_shutdown_timeout 1s;",
  })
  local self = setmetatable({ server = server, port = server.port, tls_ports = {} }, _M)
  for i, name in ipairs(ports) do
    self.tls_ports[i] = server.vars[name]
  end
  return self
end

function _M:_control(command)
  local answer = assert(http.request(self.port, "/_control", { body = cjson.encode(command) }))
  assert(answer.status == 200, answer.body)
  return cjson.decode(answer.body)
end

--- Sets how a path is answered. A path that ends with `*` means all paths that begin with the rest. `answer`: `status`,
-- `headers`, `body`; `gate` (held back until `open`); `raw` (sent as it is instead of an answer); `hang_up` (no answer at all);
-- `megabytes` (of body; `chunked`: without saying how many); `drip` (bytes of body, one every 50 ms); `delay` (seconds before the
-- answer). Without an `answer`, the path has no route again.
function _M:route(path, answer)
  self:_control({ route = path, answer = answer })
end

--- Lets the requests through that wait at a gate, and all later ones.
function _M:open(gate)
  self:_control({ open = gate })
end

--- Returns how many requests there were for a path, or, with `*` at its end, for all that begin with the rest.
function _M:count(path)
  return self:_control({ count = path }).count
end

--- Returns the times at which those requests came, in order.
function _M:times(path)
  return self:_control({ times = path }).times
end

--- Ends the server at once, with its routes and counts; `revive` starts it again on the same ports.
function _M:kill()
  self.server:kill()
end

function _M:revive()
  self.server:launch()
end

--- Waits until so many requests are held back at a gate.
function _M:await(gate, number)
  wait.eventually(("%d requests wait at gate %s of the fake"):format(number, gate), function()
    return self:_control({ held = gate }).held >= number
  end)
end

return _M
