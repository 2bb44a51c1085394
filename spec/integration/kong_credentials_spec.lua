-- Which variables the plugin keeps from references in Kong, which resolves those of kong.conf itself.

local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local in_kong = require "spec.support.in_kong"

describe("in Kong, the plugin", function()
  local LOAD = [[
    handler = require "kong.plugins.kong-vault.handler"
    kong.vault.warmup({})
  ]]
  local WORKER = [[
    kong.vault.init_worker()
    handler.init_worker()
  ]]
  local vault

  setup(function()
    vault = fake.start()
  end)

  teardown(cleanup.run)

  it(
    "keeps the variables that kong.conf's credentials come from from references, though Kong has resolved them",
    function()
      local server = in_kong.start(vault, [[
      kong = require("spec.support.kong_host").new({
        database = "off", vault_hcv_port = "{{vault}}", vault_hcv_token = "of the vault", vault_hcv_host = "127.0.0.1",
        pg_password = "of kong's own",
        ["$refs"] = {
          vault_hcv_token = "{vault://env/hcv-token}",
          vault_hcv_tokn = { "{vault://env/hcv-tokn}" },
          vault_hcv_host = "{vault://env/hcv-host}",
          pg_password = "{vault://env/pg-password}",
        },
      }, {})
    ]] .. LOAD, {
        init_worker = WORKER,
        env = {
          HCV_TOKEN = "of the vault",
          HCV_TOKN = "of the vault",
          AWS_KEY = "of the vault",
          KONG_VAULT_AWS_PROXY = "{vault://env/aws-key}",
          HCV_HOST = "127.0.0.1",
          PG_PASSWORD = "of kong's own",
        },
      })
      for _, reference in ipairs({
        "{vault://env/hcv-token}",
        "{vault://env/token?prefix=hcv_}",
        "{vault://env/hcv-tokn}",
        "{vault://env/aws-key}",
      }) do
        local value, err = server:value(reference)
        assert.is_nil(value, reference)
        assert.truthy(err:find("vault_allow_env_credentials", 1, true), err)
      end
      assert.equal("127.0.0.1", (server:value "{vault://env/hcv-host}"))
      assert.equal("of kong's own", (server:value "{vault://env/pg-password}"))
    end
  )
end)
