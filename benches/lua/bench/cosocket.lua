-- The peers of a fetch: the least that an exchange over HTTP costs by a cosocket in the worker. The answer is read as a
-- client has to read it (head, length, body) and not parsed.

local tcp = ngx.socket.tcp
local find, match = string.find, string.match

local _M = {}

-- `target`: host, port; `tls`: the certificate's name; `cold`: the server closes after each answer.
-- One connection's session is offered to the next, as the engine's TLS does.
function _M.exchange(target, request)
  local sock = tcp()
  target.pool = target.pool or { pool = "bench-" .. target.port, pool_size = 64 }
  assert(sock:connect(target.host, target.port, target.pool))
  if target.tls and sock:getreusedtimes() == 0 then
    target.session = assert(sock:sslhandshake(target.session, target.tls, true))
  end
  assert(sock:send(request))
  local head = assert(sock:receiveuntil "\r\n\r\n"())
  assert(find(head, "^HTTP/1.1 200"), head)
  local body = assert(sock:receive(tonumber(match(head, "Content%-Length: (%d+)"))))
  if target.cold then
    sock:close()
  else
    assert(sock:setkeepalive(60000))
  end
  return body
end

return _M
