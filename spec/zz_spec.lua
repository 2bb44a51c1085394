local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local nginx = require "spec.support.nginx"
describe("race", function()
  teardown(cleanup.run)
  it("x", function()
    local vault = fake.start()
    vault:route("/v1/secret/absent*", { status = 404, body = '{"errors":[]}' })
    local server = nginx.start({ workers = 4, http = "lua_shared_dict kong_secrets 5m;", init = 'require "kong.vault"',
      env = { KONG_VAULT_HCV_PORT = vault.port, KONG_VAULT_HCV_NEG_TTL = "60" } })
    local multi = {}
    for n = 1, 40 do server:kill(); server:launch()
      for _, kind in ipairs{"absent", "there"} do
      local asked = {}
      for i = 1, 16 do
        asked[i] = server:begin("return ngx.worker.pid(), require('kong.vault').get(...)", "{vault://hcv/"..kind..n.."/value}")
      end
      for _, r in ipairs(asked) do r.read() end
      local c = vault:count("/v1/secret/"..kind..n)
      if c > 1 then multi[#multi+1] = kind..n.."="..c end
      end
    end
    print(#multi, table.concat(multi, " "))
  end)
end)
