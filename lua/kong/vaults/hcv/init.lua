return require("kong.vault.strategy").new "hcv"
