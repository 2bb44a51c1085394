-- Puts kong-vault's functions in the place of `kong.vault`'s own. Loaded in init, so that what Kong warms up there comes
-- from our vaults already, and that every worker inherits it.

local kong = kong

local loaded = require("kong.vault.strategy").library() ~= nil
local pdk = loaded and require "kong.vault.pdk"
local instances = loaded and require "kong.vault.gateway.instances"

-- Where all vaults are off, Kong stays as it is. Returns whether our functions were put in just now.
local function install()
  local vaults = kong.configuration and kong.configuration.loaded_vaults
  return vaults and next(vaults) and pdk.install(kong)
end

if loaded then
  install()
end

local KongVault = {
  VERSION = loaded and require("kong.vault")._VERSION or "0.0.0",
  -- It has no phase in which a request sees it.
  PRIORITY = 1,
}

local function configure(configs)
  for _, config in ipairs(configs or {}) do
    if config.pdk == "off" then
      return pdk.uninstall(kong)
    end
  end
  -- Nobody told us of a declarative configuration that was replaced meanwhile.
  if install() then
    pdk.start()
    require("kong.vault.entities").refresh()
  end
end

function KongVault.init_worker()
  local vaults = kong.configuration and kong.configuration.loaded_vaults
  if not loaded or not vaults or not next(vaults) then
    return
  end
  -- Later Kongs have called kong.vault.init_worker already.
  pdk.start()
  -- By now Kong has its declarative configuration in its database.
  require("kong.vault.entities").refresh()
  if kong.configuration.role ~= "control_plane" then
    instances.follow(kong, configure)
    require("kong.vault.gateway.kept_certificates").follow(kong)
  end
end

-- Called when plugins have changed, with the configurations of this one, by Kongs that have this phase.
function KongVault.configure(_, configs)
  if loaded then
    instances.handed_over()
    configure(configs)
  end
end

return KongVault
