-- What `fake.lua` runs inside nginx. There is one worker, so the state is in plain tables.

local cjson = require "cjson"
local semaphore = require "ngx.semaphore"

local HOLD = 60

local routes, counts, times, gates = {}, {}, {}, {}

local function gate_of(name)
  gates[name] = gates[name] or { held = 0, semaphore = semaphore.new(0) }
  return gates[name]
end

local function route_of(path)
  if routes[path] then
    return routes[path]
  end
  local best
  for pattern in pairs(routes) do
    local start = pattern:match "^(.*)%*$"
    if start and path:sub(1, #start) == start and #start > #(best or "") then
      best = pattern
    end
  end
  return routes[best]
end

local function raw(text)
  local sock = assert(ngx.req.socket(true))
  sock:send(text)
  return ngx.exit(444)
end

local function pour(route)
  local megabyte = ("x"):rep(1024 * 1024)
  if not route.chunked then
    ngx.header.content_length = route.megabytes * #megabyte
  end
  for _ = 1, route.megabytes do
    if not (ngx.print(megabyte) and ngx.flush(true)) then
      return
    end
  end
end

local function drip(bytes)
  for _ = 1, bytes do
    if not (ngx.print "x" and ngx.flush(true)) then
      return
    end
    ngx.sleep(0.05)
  end
end

local function document(path, dated)
  ngx.update_time()
  local at = dated and ("%.3f"):format(ngx.now()) or nil
  local data = { value = "value of " .. path:match "[^/]*$", count = tostring(counts[path]), at = at }
  return cjson.encode({ data = data })
end

local _M = {}

function _M.serve(options)
  local path = ngx.var.uri
  counts[path] = (counts[path] or 0) + 1
  times[path] = times[path] or {}
  ngx.update_time()
  table.insert(times[path], ngx.now())
  local route = route_of(path) or {}
  ngx.req.read_body()
  if route.gate then
    local gate = gate_of(route.gate)
    if not gate.is_open then
      gate.held = gate.held + 1
      gate.semaphore:wait(HOLD)
      gate.held = gate.held - 1
    end
  end
  if route.delay then
    ngx.sleep(route.delay)
  end
  if route.hang_up then
    return ngx.exit(444)
  elseif route.raw then
    return raw(route.raw)
  end
  ngx.status = route.status or 200
  ngx.header.content_type = "application/json"
  for name, value in pairs(route.headers or {}) do
    ngx.header[name] = value
  end
  if route.megabytes then
    pour(route)
  elseif route.drip then
    drip(route.drip)
  else
    local body = route.body or document(path, options and options.dated)
    ngx.header.content_length = #body
    ngx.print(body)
  end
end

local function matches(pattern, path)
  local start = pattern:match "^(.*)%*$"
  return path == pattern or start ~= nil and path:sub(1, #start) == start
end

local function count(pattern)
  local sum = 0
  for path, number in pairs(counts) do
    sum = sum + (matches(pattern, path) and number or 0)
  end
  return sum
end

function _M.control()
  ngx.req.read_body()
  local file = ngx.req.get_body_file()
  local text = ngx.req.get_body_data() or io.open(file, "rb"):read "*a"
  local command = cjson.decode(text)
  local answer = {}
  if command.route then
    routes[command.route] = command.answer
  elseif command.open then
    local gate = gate_of(command.open)
    gate.is_open = true
    if gate.held > 0 then
      gate.semaphore:post(gate.held)
    end
  elseif command.count then
    answer.count = count(command.count)
  elseif command.times then
    answer.times = {}
    for known, list in pairs(times) do
      if matches(command.times, known) then
        for _, at in ipairs(list) do
          table.insert(answer.times, at)
        end
      end
    end
    table.sort(answer.times)
  elseif command.held then
    answer.held = gate_of(command.held).held
  end
  ngx.print(cjson.encode(answer))
end

return _M
