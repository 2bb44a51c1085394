-- In Kong's own Admin API: vault entities under the name that they had in the 2.8 beta, kept where Kong keeps them; and
-- what this worker's vaults are doing.

local endpoints = require "kong.api.endpoints"

local kong = kong
local schema = kong.db.vaults.schema

local function vault()
  local loaded, err = require("kong.vault.strategy").library()
  if not loaded then
    return kong.response.exit(503, { message = err })
  end
  return require "kong.vault"
end

-- Kong tells by any one of these, whichever comes first, how to read them: all of them name a schema.
return {
  ["/vaults-beta"] = {
    schema = schema,
    methods = {
      GET = endpoints.get_collection_endpoint(schema),
      POST = endpoints.post_collection_endpoint(schema),
    },
  },
  ["/vaults-beta/:vaults"] = {
    schema = schema,
    methods = {
      GET = endpoints.get_entity_endpoint(schema),
      PUT = endpoints.put_entity_endpoint(schema),
      PATCH = endpoints.patch_entity_endpoint(schema),
      DELETE = endpoints.delete_entity_endpoint(schema),
    },
  },
  ["/kong-vault"] = {
    schema = schema,
    methods = {
      GET = function()
        local stats, err = vault().stats()
        if not stats then
          return kong.response.exit(500, { message = err })
        end
        stats.worker = ngx.worker.id()
        return kong.response.exit(200, stats)
      end,
    },
  },
  ["/kong-vault/metrics"] = {
    schema = schema,
    methods = {
      GET = function()
        vault()
        require("kong.vault.metrics").serve()
        return ngx.exit(200)
      end,
    },
  },
}
