return require("kong.vault.gateway.strategy").new "conjur"
