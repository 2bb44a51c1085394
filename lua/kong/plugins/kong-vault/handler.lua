-- Puts kong-vault's functions in the place of `kong.vault`'s own. Loaded in init, so that what Kong warms up there comes
-- from our vaults already, and that every worker inherits it.

local kong = kong

local loaded = require("kong.vault.gateway.strategy").library() ~= nil
local pdk = loaded and require "kong.vault.gateway.pdk"
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

-- Whose functions are wanted, and whether somebody is seeing to it.
local wanted, is_switching = "on", false

local function switch()
  if wanted == "off" then
    pdk.uninstall(kong)
  elseif install() then
    pdk.start()
    -- Nobody told us of a declarative configuration that was replaced meanwhile.
    require("kong.vault.gateway.entities").refresh()
  end
end

-- Goes on until what is wanted is so: it may change while Kong's functions are handed over to, which takes a while.
local function switch_all(premature)
  if premature or is_switching then
    return
  end
  is_switching = true
  repeat
    local mode = wanted
    local done, err = pcall(switch)
    if not done then
      ngx.log(ngx.ERR, "kong.vault: pdk = ", mode, " has no effect until the next change of plugins: ", err)
    end
  until wanted == mode
  is_switching = false
end

local function configure(configs)
  wanted = "on"
  for _, config in ipairs(configs or {}) do
    wanted = config.pdk == "off" and "off" or wanted
  end
  -- Kong waits for this, with its configuration half replaced; the look-ups of a hand-over take their time.
  if ngx.get_phase() == "init_worker" or not ngx.timer.at(0, switch_all) then
    switch_all()
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
  require("kong.vault.gateway.entities").refresh()
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
