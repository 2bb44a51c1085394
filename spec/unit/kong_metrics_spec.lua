-- What Kong's own `/metrics` has of ours, with an exporter as Kong's plugin `prometheus` has it.

local EXPORTER = "kong.plugins.prometheus.exporter"

describe("Kong's metrics", function()
  local printed, follow, before

  local function kong(plugins)
    return { configuration = { loaded_plugins = plugins } }
  end

  before_each(function()
    printed, before =
      {}, { ngx = _G.ngx, exporter = package.loaded[EXPORTER], metrics = package.loaded["kong.vault.metrics"] }
    _G.ngx = {
      print = function(text)
        printed[#printed + 1] = text
      end,
    }
    package.loaded[EXPORTER] = {
      collect = function()
        printed[#printed + 1] = "kong_own 1\n"
      end,
    }
    package.loaded["kong.vault.metrics"] = {
      classic = function()
        return "kong_vault_workers 2\n"
      end,
    }
    package.loaded["kong.vault.gateway.metrics"] = nil
    follow = require("kong.vault.gateway.metrics").follow
  end)

  after_each(function()
    _G.ngx, package.loaded[EXPORTER], package.loaded["kong.vault.metrics"] = before.ngx, before.exporter, before.metrics
    package.loaded["kong.vault.gateway.metrics"] = nil
  end)

  it("are followed by ours, once", function()
    follow(kong({ prometheus = true }))
    follow(kong({ prometheus = true }))
    package.loaded[EXPORTER].collect()
    assert.same({ "kong_own 1\n", "kong_vault_workers 2\n" }, printed)
  end)

  it("stay as they are where the plugin is not there", function()
    for _, plugins in ipairs({ {}, { ["kong-vault"] = true } }) do
      follow(kong(plugins))
    end
    package.loaded[EXPORTER].collect()
    assert.same({ "kong_own 1\n" }, printed)
    package.loaded[EXPORTER] = nil
    follow(kong({ prometheus = true }))
    follow({})
  end)
end)
