return require("kong.vault.gateway.strategy").schema "conjur"
