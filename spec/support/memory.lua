-- Searches the memory of another process, by Linux's /proc, for secrets that should not be there.

local occurrences = require("spec.support.text").occurrences

local PIECE = 1024 * 1024

local _M = {}

--- Returns how often `needle` stands in the writable memory of a process. The process must be of the same user, or this one of
-- root.
function _M.copies(pid, needle)
  local maps = assert(io.open(("/proc/%d/maps"):format(pid)))
  local memory = assert(io.open(("/proc/%d/mem"):format(pid), "rb"))
  memory:setvbuf "no"
  local found = 0
  for line in maps:lines() do
    local first, last = line:match "^(%x+)%-(%x+) rw"
    if first then
      local from, to = tonumber(first, 16), tonumber(last, 16)
      while from < to do
        -- Pieces overlap, so that no copy is missed at their border. Memory that can't be read is gone by now.
        local size = math.min(PIECE, to - from)
        local text = memory:seek("set", from) and memory:read(size) or ""
        found = found + occurrences(text, needle)
        from = size < PIECE and to or from + size - (#needle - 1)
      end
    end
  end
  memory:close()
  maps:close()
  return found
end

return _M
