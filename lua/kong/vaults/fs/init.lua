return require("kong.vault.gateway.strategy").new "fs"
