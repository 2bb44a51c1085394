-- What specs run inside nginx.

local cjson = require "cjson"

local pack = require "spec.support.pack"

local _M = {}

local function answer(ok, ...)
  if not ok then
    ngx.status = 500
    return ngx.print(tostring((...)))
  end
  ngx.print(pack.encode(...))
end

--- Runs the request's body as Lua and answers with what it returned.
function _M.eval()
  ngx.req.read_body()
  local chunk = assert(loadstring(ngx.req.get_body_data(), "=eval"))
  answer(pcall(chunk, pack.decode(ngx.req.get_headers()["X-Arguments"])))
end

--- Answers with the values of the references in `r`, blanks between them; with 502 and the error, where one has no value.
function _M.value()
  local values, vault = {}, require "kong.vault"
  for reference in ngx.var.arg_r:gmatch "[^|]+" do
    local value, err = vault.get(ngx.unescape_uri(reference))
    if not value then
      ngx.status = 502
      values = { err }
      break
    end
    values[#values + 1] = value
  end
  local body = table.concat(values, " ")
  ngx.header.content_length = #body
  ngx.header.x_worker = ngx.worker.pid()
  ngx.print(body)
end

--- Asks for a reference in the present phase, and stores the outcome under a name.
function _M.note(name, reference)
  local value, err = require("kong.vault").get(reference)
  ngx.shared.results:set(name, cjson.encode({ value = value, err = err, phase = ngx.get_phase() }))
  return value, err
end

return _M
