return require("kong.vault.gateway.strategy").schema "azure-certs"
