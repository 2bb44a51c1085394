-- Undoes what a spec started or made, in reverse order. Every spec has `teardown(cleanup.run)`, which busted also calls where a
-- test failed.

local _M = {}

local undo = {}

function _M.add(action)
  undo[#undo + 1] = action
end

function _M.run()
  while #undo > 0 do
    local ok, err = pcall(table.remove(undo))
    if not ok then
      io.stderr:write("cleanup: ", tostring(err), "\n")
    end
  end
end

return _M
