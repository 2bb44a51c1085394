-- What another process has in its memory, by Linux's /proc: for specs that look for secrets where none should be.

local occurrences = require("spec.support.text").occurrences

local PIECE = 1024 * 1024

local _M = {}

--- How often `needle` stands in what a process may write to. It has to be a process of our own user, or we root.
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
        -- Pieces overlap, so that none is missed across their border; what can't be read isn't there any more.
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
