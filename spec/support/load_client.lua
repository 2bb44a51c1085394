-- The process behind `load.lua`: sends requests, and writes a sample of each.

local cjson = require "cjson"
local socket = require "socket"

-- Seconds after which a request counts as failed.
local PATIENCE = 15

local input = assert(io.open(arg[1]))
local options = cjson.decode(input:read "*a")
input:close()

local output = assert(io.open(options.output, "wb"))
local now = socket.gettime

local REQUEST = ("GET %%s HTTP/1.1\r\nHost: localhost\r\nConnection: %s\r\n\r\n"):format(
  options.close and "close" or "keep-alive"
)

local connections, by_socket = {}, {}
local sent = 0

local function note(connection, status, body)
  local began = connection.began
  local line = { ("%.6f"):format(began), ("%.6f"):format(now() - began), connection.path, status, body:gsub("%s", " ") }
  output:write(table.concat(line, "\t", 1, 5), "\n")
  connection.began, connection.received = nil, ""
  connection.due = options.rate and connection.due + options.connections / options.rate or now()
end

local function hang_up(connection)
  if connection.socket then
    by_socket[connection.socket] = nil
    connection.socket:close()
    connection.socket = nil
  end
end

local function fail(connection, why)
  hang_up(connection)
  note(connection, 0, why)
end

local function send(connection)
  sent = sent + 1
  connection.path = options.paths[(sent - 1) % #options.paths + 1]
  connection.began = now()
  if not connection.socket then
    local opened = socket.tcp()
    opened:settimeout(PATIENCE)
    local ok, err = opened:connect("127.0.0.1", options.port)
    if not ok then
      return fail(connection, "connect: " .. err)
    end
    opened:settimeout(0)
    opened:setoption("tcp-nodelay", true)
    connection.socket, by_socket[opened] = opened, connection
  end
  local ok, err = connection.socket:send(REQUEST:format(connection.path))
  if not ok then
    fail(connection, "send: " .. err)
  end
end

local function receive(connection)
  local data, err, partial = connection.socket:receive(65536)
  connection.received = connection.received .. (data or partial)
  local head, body = connection.received:match "^(HTTP.-\r\n)\r\n(.*)$"
  local length = head and tonumber(head:match "[Cc]ontent%-[Ll]ength: (%d+)")
  if length and #body >= length then
    if options.close or head:find "Connection: close" then
      hang_up(connection)
    end
    return note(connection, head:match "^HTTP/%S+ (%d+)", body:sub(1, length))
  end
  if err == "closed" then
    fail(connection, "closed after " .. #connection.received .. " bytes")
  end
end

for i = 1, options.connections do
  connections[i] = { received = "", due = now() + (options.rate and i / options.rate or 0) }
end

local stopped, looked_at = false, now()
local until_when = now() + (options.seconds or 3600)
while true do
  local waiting, busy, soonest = {}, false, now() + 0.05
  for _, connection in ipairs(connections) do
    if not connection.began and not stopped and connection.due <= now() then
      send(connection)
    end
    if connection.began then
      busy = true
      waiting[#waiting + 1] = connection.socket
      if now() - connection.began > PATIENCE then
        fail(connection, "no answer in time")
      end
    elseif connection.due < soonest then
      soonest = connection.due
    end
  end
  if stopped and not busy then
    break
  end
  for _, ready in ipairs((socket.select(waiting, nil, math.max(0, soonest - now())))) do
    receive(by_socket[ready])
  end
  if now() - looked_at > 0.05 then
    looked_at = now()
    output:flush()
    local file = io.open(options.stop)
    stopped = stopped or file ~= nil or now() > until_when
    if file then
      file:close()
    end
  end
end
output:close()
