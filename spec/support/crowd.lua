-- Several workers that want the same secret, of which one fetches it.

local wait = require "spec.support.wait"

local _M = {}

-- Notes the worker under `worker-<pid>` and then asks for a reference.
local NOTING = [[
  ngx.shared.results:incr("worker-" .. ngx.worker.pid(), 1, 0)
  return ngx.worker.pid(), require("kong.vault").get(...)
]]

--- Asks in some worker. Returns a request whose `read` returns the worker's pid and what `get` returned.
function _M.ask(server, reference)
  return server:begin(NOTING, reference)
end

-- The workers that were asked.
local function asked(server)
  local pids = {}
  for _, pid in ipairs(server:workers()) do
    if server:eval("return ngx.shared.results:get(...)", "worker-" .. pid) then
      pids[#pids + 1] = pid
    end
  end
  return pids
end

--- Asks in all workers for the secret `name`, which the fake `vault` holds back at a gate of that name. Returns the requests that
-- wait, and the worker that fetches.
function _M.gather(server, vault, name)
  vault:route("/v1/secret/" .. name, { gate = name })
  local reference = "{vault://hcv/" .. name .. "/value}"
  local requests = { _M.ask(server, reference) }
  vault:await(name, 1)
  local owner = asked(server)[1]
  wait.eventually("other workers wait too", function()
    requests[#requests + 1] = _M.ask(server, reference)
    return #asked(server) == server.vars.workers
  end)
  assert(vault:count("/v1/secret/" .. name) == 1, "more than one worker fetches")
  return requests, owner
end

return _M
