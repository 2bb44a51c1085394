-- Semaphores for coroutines: ngx_lua's where it has them. They come with lua-resty-core, which Debian 11 and Ubuntu 20.04
-- don't have: there, whoever waits looks every few milliseconds.

local ngx = ngx
local pcall = pcall

-- Seconds between two looks.
local PAUSE = 0.005

local polled = {}
polled.__index = polled

function polled:post(count)
  self.count = self.count + count
end

function polled:wait(seconds)
  local deadline = ngx.now() + seconds
  while self.count == 0 do
    local left = deadline - ngx.now()
    if left <= 0 then
      return nil, "timeout"
    end
    ngx.sleep(left < PAUSE and left or PAUSE)
  end
  self.count = self.count - 1
  return true
end

local function new_polled(count)
  return setmetatable({ count = count }, polled)
end

local new

--- Returns a semaphore with `count` resources: `wait(seconds)` takes one, `post(count)` adds some.
local function create(count)
  if not new then
    local found, semaphores = pcall(require, "ngx.semaphore")
    new = found and semaphores.new or new_polled
  end
  return new(count)
end

return { new = create }
