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

-- A route that shows what there is.
local function shown(answer)
  local function get()
    local library = vault()
    if require("kong.vault.admin").refuse_in_kong(true) then
      return ngx.exit(ngx.OK)
    end
    return answer(library)
  end
  return { schema = schema, methods = { GET = get } }
end

-- A method of the list or of one entity as the page asks for it: what is kong-vault's own, otherwise what Kong does.
local function or_own(kongs)
  return function(...)
    vault()
    if require("kong.vault.admin").serve_in_kong() then
      return ngx.exit(ngx.OK)
    end
    return kongs(...)
  end
end

-- Kong decides by one of these, whichever it meets first, how to read them all. So each of them names a schema.
local function list(wrap)
  return {
    schema = schema,
    methods = {
      GET = wrap(endpoints.get_collection_endpoint(schema)),
      POST = wrap(endpoints.post_collection_endpoint(schema)),
    },
  }
end

local function entity(wrap, post)
  return {
    schema = schema,
    methods = {
      GET = wrap(endpoints.get_entity_endpoint(schema)),
      -- Kong has none: checks alone are posted.
      POST = post,
      PUT = wrap(endpoints.put_entity_endpoint(schema)),
      PATCH = wrap(endpoints.patch_entity_endpoint(schema)),
      DELETE = wrap(endpoints.delete_entity_endpoint(schema)),
    },
  }
end

local function as_it_is(kongs)
  return kongs
end

local function not_allowed()
  return kong.response.exit(405, { message = "Method not allowed" })
end

return {
  [path] = list(as_it_is),
  -- Kong looks for the parameter that is named as the schema is.
  [path .. "/:" .. name] = entity(as_it_is),
  -- For the page (docs/page.md).
  ["/kong-vault/vaults"] = list(or_own),
  ["/kong-vault/vaults/:" .. name] = entity(or_own, or_own(not_allowed)),
  ["/kong-vault"] = shown(function(library)
    local stats, err = library.stats()
    if not stats then
      return kong.response.exit(500, { message = err })
    end
    stats.worker = ngx.worker.id()
    return kong.response.exit(200, stats)
  end),
  ["/kong-vault/status"] = shown(function()
    local status, err = require("kong.vault.metrics").status()
    if not status then
      return kong.response.exit(500, { message = err })
    end
    return kong.response.exit(200, status, { ["Content-Type"] = "application/json; charset=utf-8" })
  end),
  ["/kong-vault/metrics"] = shown(function()
    require("kong.vault.metrics").serve()
    return ngx.exit(200)
  end),
}
