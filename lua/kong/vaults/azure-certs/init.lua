return require("kong.vault.gateway.strategy").new "azure-certs"
