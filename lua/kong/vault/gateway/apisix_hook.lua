-- APISIX requires this module in init where `lua_module_hook` names it. It configures kong-vault by the environment alone, which
-- workers no longer have, and nginx does not start with a wrong configuration. A hook of the operator's can do the same with
-- options of its own.

assert(require("kong.vault").configure({}))

-- So that no worker reads these files first.
require "kong.vault.gateway.apisix"

return true
