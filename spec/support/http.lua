-- A small HTTP client, with which specs can hold many requests open, and close them.

local socket = require "socket"

-- Seconds to wait for an answer.
local PATIENCE = 30

local _M = {}
_M.__index = _M

--- Sends a request and returns the connection, without waiting for the answer. `more`: `method`, `body`, `headers`, and `seconds`
-- to wait for the answer. In HTTP/1.0, answers have no chunks.
function _M.open(port, path, more)
  more = more or {}
  local connection = assert(socket.tcp())
  connection:settimeout(more.seconds or PATIENCE)
  assert(connection:connect("127.0.0.1", port))
  local lines = {
    ("%s %s HTTP/1.0"):format(more.method or (more.body and "POST" or "GET"), path),
    "Host: localhost",
  }
  for name, value in pairs(more.headers or {}) do
    lines[#lines + 1] = name .. ": " .. value
  end
  if more.body then
    lines[#lines + 1] = "Content-Length: " .. #more.body
  end
  lines[#lines + 1] = "\r\n" .. (more.body or "")
  assert(connection:send(table.concat(lines, "\r\n")))
  return setmetatable({ connection = connection }, _M)
end

--- Waits for the answer: `{ status, headers, body }`; or nil and why there is none.
function _M:read()
  local text, err, partial = self.connection:receive "*a"
  self.connection:close()
  text = text or partial
  local head, body = text:match "^(HTTP.-\r\n)\r\n(.*)$"
  if not head then
    return nil, err or "closed"
  end
  local headers = {}
  for name, value in head:gmatch "([^\r\n:]+): ([^\r\n]*)" do
    headers[name:lower()] = value
  end
  return { status = tonumber(head:match "^HTTP/%S+ (%d+)"), headers = headers, body = body }
end

--- Closes the connection.
function _M:close()
  self.connection:close()
end

function _M.request(port, path, more)
  return _M.open(port, path, more):read()
end

--- Escapes a text for a URL.
function _M.escape(text)
  return (text:gsub("[^%w%-_.~]", function(character)
    return ("%%%02X"):format(character:byte())
  end))
end

return _M
