--- The Admin API for vault entities, for a location of nginx that only operators reach:
--
--     location ~ ^/vaults(-beta)?(/|$) { content_by_lua_block { require("kong.vault.admin").serve() } }
--
-- See docs/admin-api.md, and docs/page.md for the page that a browser gets there. This file reads requests from nginx and writes
-- their answers; src/admin handles them. It reads and writes files on another thread while the request waits.

local native = require "kong.vault.native"
local resolve = require "kong.vault.resolve"

local ngx = ngx

-- Seconds for which a request waits for its turn and its answer together.
local PATIENCE = 60

local HAS_BODY = { PATCH = true, POST = true, PUT = true }

local _M = {}

-- Sets what is to hold for all answers: a browser must not keep them, guess their type, or hand them to another page.
local function set_headers(status)
  ngx.status = status
  ngx.header["Cross-Origin-Resource-Policy"] = "same-origin"
  ngx.header["Cache-Control"] = "no-store"
  ngx.header["X-Content-Type-Options"] = "nosniff"
end

local function answer(status, json, allow)
  set_headers(status)
  ngx.header["Allow"] = allow
  if status ~= 204 then
    ngx.header["Content-Type"] = "application/json; charset=utf-8"
  end
  if json then
    ngx.header["Content-Length"] = #json
    ngx.print(json)
  end
end

-- Answers with a message, as JSON.
local function say(status, message)
  return answer(status, native.admin.message(message))
end

-- Answers with the page.
local function show_page()
  local html, policy = native.admin.page()
  set_headers(200)
  ngx.header["Content-Security-Policy"] = policy
  ngx.header["X-Frame-Options"] = "DENY"
  ngx.header["Referrer-Policy"] = "no-referrer"
  ngx.header["Cross-Origin-Opener-Policy"] = "same-origin"
  ngx.header["Content-Type"] = "text/html; charset=utf-8"
  ngx.header["Content-Length"] = #html
  ngx.print(html)
end

-- Returns the token of the request: from `Kong-Admin-Token`, or from `Authorization: Bearer`.
local function token()
  local shown = ngx.var.http_kong_admin_token
  if shown then
    return shown
  end
  local scheme, credentials = (ngx.var.http_authorization or ""):match "^(%a+) +(%S+)$"
  return scheme and scheme:lower() == "bearer" and credentials or nil
end

-- Returns the client's addresses. nginx's realip module may have taken another one from a header: then both count.
local function peers()
  return { ngx.var.remote_addr, ngx.var.realip_remote_addr }
end

-- Returns the hosts that a request names, and its headers, each as a name and a value: all of them, however many there are.
local function origin()
  local hosts, headers = {}, {}
  for name, values in pairs(ngx.req.get_headers(0)) do
    for _, value in ipairs(type(values) == "table" and values or { values }) do
      headers[#headers + 1] = { name, value }
      if name == "host" then
        hosts[#hosts + 1] = value
      end
    end
  end
  -- The host in the request line, if there is one. Without any host, `ngx.var.host` would be the server's own name.
  if #hosts > 0 then
    hosts[#hosts + 1] = ngx.var.host
  end
  return hosts, headers
end

-- Returns the body, or nil and the file that nginx wrote it to.
local function body()
  ngx.req.read_body()
  local data = ngx.req.get_body_data()
  if data then
    return data
  end
  return nil, ngx.req.get_body_file()
end

-- Answers a request that is heard. `sender`: the name of its token; `of_kong`: whether Kong's Admin API got it.
local function answer_request(method, from, sender, of_kong)
  local data, file
  if HAS_BODY[method] then
    local limit = native.vm:admin_limit()
    if (tonumber(ngx.var.content_length) or 0) > limit then
      return say(413, ("the body is larger than %d bytes"):format(limit))
    end
    data, file = body()
  end
  resolve.start()
  local target, kind = ngx.var.request_uri, ngx.var.content_type
  local ticket, err = native.vm:administer(method, target, kind, data, file, sender, from, of_kong)
  if not ticket then
    return say(503, err)
  end
  local _
  _, err = resolve.await(ticket, PATIENCE)
  local status, json, allow = native.vm:answer(ticket)
  if status then
    return answer(status, json, allow)
  elseif err then
    return say(
      503,
      "the answer takes too long and the change may still happen: read the entity before you repeat the request"
    )
  end
  return say(500, "internal error of kong.vault: report this as a defect")
end

-- Whether the request is a browser's for the page. Programs that show a token are answered in JSON, whatever they accept; where a
-- proxy adds the token, only a browser says that it opens a document.
local function wants_page(shown)
  return (not shown or ngx.var.http_sec_fetch_dest == "document")
    and native.admin.wants_page(ngx.req.get_method(), ngx.var.request_uri, ngx.var.http_accept or "")
end

--- Answers a request.
-- Phases: content.
function _M.serve()
  local from, hosts, headers = peers(), origin()
  local shown = token()
  local page = wants_page(shown)
  local heard, refusal, err = native.vm:check_access(shown, from, hosts, headers, page)
  if not heard then
    return say(refusal, err)
  elseif page then
    return show_page()
  end
  -- Where the request is heard, the second result is the name of its token.
  return answer_request(ngx.req.get_method(), from, refusal, false)
end

--- Refuses a request to Kong's Admin API that a browser sends for another page than kong-vault's own: Kong lets all pages read
-- its answers. `opens`: whether the address may be opened by itself. Returns true where it was refused, and answered.
-- Phases: content.
function _M.refuse_in_kong(opens)
  local hosts, headers = origin()
  local why = native.admin.refuses_browser(hosts, headers, opens)
  if why then
    say(403, why)
    return true
  end
end

--- Answers a request to Kong's Admin API with what is kong-vault's own there: the page where a browser asks for the list, state,
-- options, checks. Kong decides who may ask; a browser may on behalf of the page alone. Returns nil for the list as such.
-- Phases: content.
function _M.serve_in_kong()
  local page = wants_page(token())
  if _M.refuse_in_kong(page) then
    return true
  elseif page then
    show_page()
  elseif native.admin.is_own(ngx.var.request_uri) then
    answer_request(ngx.req.get_method(), peers(), nil, true)
  else
    return nil
  end
  return true
end

return _M
