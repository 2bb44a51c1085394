-- Fields that are `referenceable` may hold references: Kong looks them up, and `kong.vault.update` and `try` keep them up to
-- date. In an array or a map it is each element.

return {
  name = "db-lookup",
  fields = {
    {
      config = {
        type = "record",
        fields = {
          {
            database = {
              type = "record",
              required = true,
              fields = {
                { host = { type = "string", default = "127.0.0.1" } },
                { port = { type = "integer", default = 5432, between = { 1, 65535 } } },
                { name = { type = "string", required = true } },
                { user = { type = "string", required = true, referenceable = true } },
                { password = { type = "string", required = true, referenceable = true, encrypted = true } },
              },
            },
          },
          { api_keys = { type = "array", default = {}, elements = { type = "string", referenceable = true } } },
          {
            headers = {
              type = "map",
              default = {},
              keys = { type = "string" },
              values = { type = "string", referenceable = true },
            },
          },
        },
      },
    },
  },
}
