-- Sends requests to one worker of an nginx. Each worker has connections of its own; a request tells which worker a connection
-- belongs to. The server needs the location `at_worker.LOCATION`, and answers with a Content-Length.

local socket = require "socket"

local wait = require "spec.support.wait"

local TIMEOUT = 30

local _M = {
  LOCATION = [[
    location = /worker {
      content_by_lua_block {
        local pid = tostring(ngx.worker.pid())
        ngx.header.content_length = #pid
        ngx.print(pid)
      }
    }
  ]],
}

local Connection = {}
Connection.__index = Connection

-- Idle connections by worker.
local idle = {}

local function connect(server)
  local sock = assert(socket.tcp())
  sock:settimeout(TIMEOUT)
  assert(sock:connect("127.0.0.1", server.port))
  return setmetatable({ sock = sock }, Connection)
end

function Connection:send(path)
  assert(self.sock:send(("GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"):format(path)))
end

function Connection:receive()
  local length = 0
  while true do
    local line = assert(self.sock:receive "*l")
    length = tonumber(line:lower():match "^content%-length: (%d+)") or length
    if line == "" then
      return length > 0 and assert(self.sock:receive(length)) or ""
    end
  end
end

--- Returns the answer's body, once it is there. The connection is used again.
function Connection:read()
  local body = self:receive()
  table.insert(idle[self.pid], self)
  return body
end

--- Closes the connection.
function Connection:close()
  self.sock:close()
end

--- Sends a request to the worker `pid`, and does not wait for the answer.
function _M.begin(server, pid, path)
  idle[pid] = idle[pid] or {}
  wait.eventually("that worker takes a connection", function()
    if #idle[pid] > 0 then
      return true
    end
    local connection = connect(server)
    connection:send "/worker"
    -- A worker that ends after a reload may have closed it.
    local answered, answer = pcall(connection.receive, connection)
    connection.pid = answered and tonumber(answer)
    if connection.pid then
      idle[connection.pid] = idle[connection.pid] or {}
      table.insert(idle[connection.pid], connection)
    end
  end)
  local connection = table.remove(idle[pid])
  connection:send(path)
  return connection
end

--- Sends a request to the worker `pid`. Returns the answer's body.
function _M.ask(server, pid, path)
  return _M.begin(server, pid, path):read()
end

return _M
