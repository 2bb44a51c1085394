-- Routes in Kong's own Admin API: vault entities under the name that they have in other versions of Kong, counters of the worker
-- that answers, and metrics and state of the node.

local endpoints = require "kong.api.endpoints"

local capabilities = require "kong.vault.gateway.capabilities"

local kong = kong
local dao, name = capabilities.vaults(kong)
local schema = dao.schema

-- The path that Kong itself lacks: that of the beta, or, in the beta, the later one.
local path = name == "vaults" and "/vaults-beta" or "/vaults"

local function vault()
  local loaded, err = require("kong.vault.gateway.strategy").library()
  if not loaded then
    return kong.response.exit(503, { message = err })
  end
  return require "kong.vault"
end

-- Kong decides by one of these, whichever it meets first, how to read them all. So each of them names a schema.
return {
  [path] = {
    schema = schema,
    methods = {
      GET = endpoints.get_collection_endpoint(schema),
      POST = endpoints.post_collection_endpoint(schema),
    },
  },
  -- Kong looks for the parameter that is named as the schema is.
  [path .. "/:" .. name] = {
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
  ["/kong-vault/status"] = {
    schema = schema,
    methods = {
      GET = function()
        vault()
        local status, err = require("kong.vault.metrics").status()
        if not status then
          return kong.response.exit(500, { message = err })
        end
        return kong.response.exit(200, status, { ["Content-Type"] = "application/json; charset=utf-8" })
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
