local capabilities = require "kong.vault.gateway.capabilities"
local typedefs = require "kong.db.schema.typedefs"

require("kong.vault.gateway.everywhere").install()

return {
  name = "kong-vault",
  fields = {
    { protocols = typedefs.protocols({ default = { "grpc", "grpcs", "http", "https", "tcp", "tls", "udp" } }) },
    { consumer = typedefs.no_consumer },
    { route = typedefs.no_route },
    { service = typedefs.no_service },
    {
      config = {
        type = "record",
        fields = {
          {
            pdk = capabilities.field({
              type = "string",
              default = "on",
              one_of = { "on", "off" },
              description = "`off` restores Kong's own kong.vault functions; the vaults stay enabled.",
            }),
          },
        },
      },
    },
  },
}
