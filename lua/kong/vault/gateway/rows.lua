-- Reads rows of Kong's database with their references as they are. Without the option `nulls`, Kong would resolve each reference,
-- by its own rules, and keep the value.

local ngx = ngx

local _M = {}

local AS_WRITTEN = { workspace = ngx.null, nulls = true }

--- Returns all rows of an entity, of all workspaces; fields that are not set are `ngx.null`. Raises an error where they cannot be
--- read. Phases: those that may wait, and init_worker.
function _M.all(dao)
  local list = {}
  for row, err in dao:each(nil, AS_WRITTEN) do
    if not row then
      error(err, 0)
    end
    list[#list + 1] = row
  end
  return list
end

return _M
