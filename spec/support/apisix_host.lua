-- The part of APISIX around its secret managers, by what it documents of them: a secret `{ id = "MANAGER/ID", … }`, and
-- `$secret://MANAGER/ID/KEY`, for which the module `apisix.secret.MANAGER` is required and its `get(secret, KEY)` called. Runs
-- inside nginx.

local _M = {}

local values, version = {}, 0

-- What managers find as APISIX's own module.
package.loaded["apisix.secret"] = {
  secrets = function()
    return values, version
  end,
}

local function without(id)
  local others = {}
  for _, item in ipairs(values) do
    others[#others + 1] = item.value.id ~= id and item or nil
  end
  return others
end

--- Stores a secret under `MANAGER/ID`.
function _M.put(id, secret)
  secret.id = id
  values = without(id)
  values[#values + 1], version = { value = secret }, version + 1
end

function _M.delete(id)
  values, version = without(id), version + 1
end

--- Returns what `$secret://…` stands for, or nil and why it stands for nothing.
function _M.fetch(uri)
  local manager, id, key = uri:match "^%$secret://([^/]+)/([^/]+)/(.+)$"
  for _, item in ipairs(values) do
    if item.value.id == manager .. "/" .. id then
      return require("apisix.secret." .. manager).get(item.value, key)
    end
  end
  return nil, "no secret conf"
end

return _M
