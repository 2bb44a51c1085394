-- Rows of Kong's database as they are written: asked for nulls, Kong leaves references as they are; otherwise it would look
-- each of them up, by its own rules and for good.

local ngx = ngx

local _M = {}

local AS_WRITTEN = { workspace = ngx.null, nulls = true }

--- All rows of an entity, of all workspaces; what is not set in one is `ngx.null`. Raises where they can't be read. Phases:
--- those that may wait, and init_worker.
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
