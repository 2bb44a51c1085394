return require("kong.vault.strategy").new "aws"
