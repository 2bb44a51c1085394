return require("kong.vault.strategy").schema "aws"
