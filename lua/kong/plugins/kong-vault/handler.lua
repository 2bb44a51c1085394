-- The plugin: replaces the functions of Kong's `kong.vault` with kong-vault's. It does so when it is loaded, in init, so that
-- Kong resolves references with them from the start, and every worker inherits them.

local kong = kong

local loaded = require("kong.vault.gateway.strategy").library() ~= nil
local pdk = loaded and require "kong.vault.gateway.pdk"
local instances = loaded and require "kong.vault.gateway.instances"

-- Puts kong-vault's functions in, unless all vaults are off. Returns whether they were put in just now.
local function install()
  local vaults = kong.configuration and kong.configuration.loaded_vaults
  return vaults and next(vaults) and pdk.install(kong)
end

if loaded then
  install()
end

local KongVault = {
  VERSION = loaded and require("kong.vault")._VERSION or "0.0.0",
  -- Of no effect: the plugin has no phase of a request.
  PRIORITY = 1,
}

-- Whether kong-vault's functions are wanted ("on") or Kong's own ("off"), and whether a coroutine is switching.
local wanted, is_switching = "on", false

local function switch()
  if wanted == "off" then
    pdk.uninstall(kong)
  elseif install() then
    pdk.start()
    -- The entities may have changed since they were last followed.
    require("kong.vault.gateway.entities").refresh()
  end
end

-- Switches until `wanted` is reached: it may change during a switch, which takes a while.
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
  -- Kong waits for this call with its configuration half replaced, and a switch fetches values, so a timer does it.
  if ngx.get_phase() == "init_worker" or not ngx.timer.at(0, switch_all) then
    switch_all()
  end
end

function KongVault.init_worker()
  local vaults = kong.configuration and kong.configuration.loaded_vaults
  if not loaded or not vaults or not next(vaults) then
    return
  end
  -- Does nothing in later Kongs, which have called `kong.vault.init_worker`.
  pdk.start()
  require("kong.vault.gateway.metrics").follow(kong)
  -- By now Kong has its declarative configuration in its database.
  require("kong.vault.gateway.entities").refresh()
  if kong.configuration.role ~= "control_plane" then
    instances.follow(kong, configure)
    require("kong.vault.gateway.kept_certificates").follow(kong)
  end
end

-- Kongs with this phase call it with the configurations of the plugin when plugins have changed.
function KongVault.configure(_, configs)
  if loaded then
    instances.handed_over()
    configure(configs)
  end
end

return KongVault
