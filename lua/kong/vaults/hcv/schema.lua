return require("kong.vault.strategy").schema "hcv"
