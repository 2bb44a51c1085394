return require "kong.vault.gateway.apisix"
