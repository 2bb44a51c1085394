-- References of an attacker who can edit a plugin, but not a vault, and wants its credentials sent elsewhere. Each has a part of
-- the error that it must get. `EVIL` stands for the port of the attacker's server.

local files = require "spec.support.files"

local EVIL = "127.0.0.2:EVIL"

-- Values that would lead to the attacker's server, or past TLS checks. Any other option gets any value.
local VALUES = {
  host = "127.0.0.2",
  port = "EVIL",
  proxy = "http://" .. EVIL,
  endpoint_url = "http://" .. EVIL,
  sts_endpoint_url = "http://" .. EVIL,
  oauth2_token_endpoint = "http://" .. EVIL .. "/token",
  redirect_hosts = EVIL,
  vault_uri = "https://" .. EVIL,
  resource = "https://127.0.0.2",
  verify_challenge_resource = "false",
  ssl_verify = "false",
  tls_skip_verify = "true",
}

local function plain(text)
  return (text:gsub("%p", "%%%0"))
end

local _M = {}

--- Returns a reference for each option that the tables of docs/options.md keep from references, and for each alias of it.
function _M.of_tables()
  local list, vault = {}, nil
  local page = files.read "docs/options.md"
  local tables = page:match "<!%-%- options:begin %-%->(.*)<!%-%- options:end %-%->"
  for line in tables:gmatch "[^\n]+" do
    vault = line:match "^### `([%w-]+)`" or (not line:find "^###" and vault or nil)
    local name = line:match "^| `([%w_]+)` |"
    local may = line:match "| (%w+) | `KONG_VAULT"
    if vault and name and may == "no" then
      local spellings = { name }
      for alias in (line:match "%(also called ([^)]*)%)" or ""):gmatch "`([%w_]+)`" do
        spellings[#spellings + 1] = alias
      end
      for _, spelling in ipairs(spellings) do
        list[#list + 1] = {
          ("{vault://%s/hello/foo?%s=%s}"):format(vault, spelling, VALUES[name] or "other"),
          ("option %s of the %s vault %%(%s%%) is not allowed in a reference"):format(
            plain(name),
            plain(vault),
            plain(vault)
          ),
        }
      end
    end
  end
  return list
end

local OTHER_VAULTS = "could not find vault"
local NO_SUCH = "there is no secret/" -- the operator's server was asked, and has no such secret
local NO_REFERENCE = "reference url"

_M.OPTIONS = {
  { "{vault://hcv/hello/foo?host=127.0.0.2&port=EVIL}", "option host of the hcv vault" },
  { "{vault://hcv/hello/foo?ho%73t=127.0.0.2&po%72t=EVIL}", "option host of the hcv vault" },
  { "{vault://hcv/hello/foo?ttl=1&host=127.0.0.2}", "option host of the hcv vault" },
  { "{vault://hcv/hello/foo?ttl=1&ttl=2}", "option ttl of the hcv vault is set twice by the reference" },
  { "{vault://hcv/hello/foo?host=unix:///tmp/evil.sock}", "option host of the hcv vault" },
  { "{vault://hcv/hello/foo?host=%5B::1%5D}", "option host of the hcv vault" },
  { "{vault://hcv/hello/foo?host}", "option host of the hcv vault" },
  { "{vault://hcv/hello/foo?host=}", "option host of the hcv vault" },
  { "{vault://hcv/hello/foo?HOST=127.0.0.2}", "unknown option HOST" },
  { "{vault://hcv/hello/foo?%20host=127.0.0.2}", "unknown option  host" },
  { "{vault://hcv/hello/foo?host%00=127.0.0.2}", "unknown option host" },
  { "{vault://hcv/hello/foo?host%0d%0a=127.0.0.2}", "unknown option host\\r\\n" },
  { "{vault://hcv/hello/foo?hоst=127.0.0.2}", "unknown option hоst" }, -- a Cyrillic о
  { "{vault://hcv/hello/foo?ｈｏｓｔ=127.0.0.2}", "unknown option ｈｏｓｔ" },
  { "{vault://hcv/hello/foo?;host=127.0.0.2}", "unknown option ;host" },
  { "{vault://hcv/hello/foo?ttl=1;host=127.0.0.2}", 'value "1;host=127.0.0.2" of option ttl' },
  { "{vault://hcv/hello/foo?ttl=1%26host=127.0.0.2}", 'value "1&host=127.0.0.2" of option ttl' },
  { "{vault://hcv/hello/foo?ttl=1%0d%0aX-Vault-Token:%20a}", "of option ttl" },
  { "{vault://hcv/hello/foo?base64_decode=true%0d%0aHost:%20evil}", "of option base64_decode" },
  { "{vault://hcv/hello/foo?socket=/tmp/evil.sock}", "unknown option socket" },
  { "{vault://hcv/hello/foo?http_proxy=http://" .. EVIL .. "}", "unknown option http_proxy" },
  { "{vault://hcv/hello/foo?config.host=127.0.0.2}", "unknown option config.host" },
  { "{vault://hcv/hello/foo?vault_hcv_host=127.0.0.2}", "unknown option vault_hcv_host" },
  {
    "{vault://hcv/hello/foo?vault_strict_compatibility=true&host=127.0.0.2}",
    "unknown option vault_strict_compatibility",
  },
  { "{vault://hcv/hello/foo?namespace=a%0d%0aX-Evil:%201}", "option namespace of the hcv vault" },
  { "{vault://mine/hello/foo?host=127.0.0.2&port=EVIL}", "option host of the hcv vault %(mine%)" },
  { "{vault://mine/hello/foo?token=stolen}", "option token of the hcv vault %(mine%)" },
}

_M.NAMES = {
  { "{vault://hcv@" .. EVIL .. "/hello/foo}", OTHER_VAULTS },
  { "{vault://" .. EVIL .. "/hello/foo}", OTHER_VAULTS },
  { "{vault://hcv:EVIL/hello/foo}", OTHER_VAULTS },
  { "{vault://user:password@hcv/hello/foo}", OTHER_VAULTS },
  { "{vault://[::1]/hello/foo}", OTHER_VAULTS },
  { "{vault://evil.example/hello/foo}", OTHER_VAULTS },
  { "{vault://hcv.evil.example/hello/foo}", OTHER_VAULTS },
  { "{vault://http://" .. EVIL .. "/hello/foo}", OTHER_VAULTS },
  { "{vault://hcv\\@" .. EVIL .. "/hello/foo}", OTHER_VAULTS },
  { "{vault://hcv%2F@" .. EVIL .. "/hello/foo}", OTHER_VAULTS },
  { "{vault://HCV/hello/foo}", OTHER_VAULTS },
  { "{vault://hсv/hello/foo}", OTHER_VAULTS }, -- a Cyrillic с
  { "{vault://ｈｃｖ/hello/foo}", OTHER_VAULTS },
  { "{vault://hcv\226\128\139/hello/foo}", OTHER_VAULTS }, -- a zero-width space
  { "{vault://hcv\0/hello/foo}", OTHER_VAULTS },
  { "{vault://hcv\r\nHost: evil/hello/foo}", OTHER_VAULTS },
  { "{vault://hcv@0123456789abcdef-0/hello/foo}", OTHER_VAULTS },
  { "{vault:////" .. EVIL .. "/hello/foo}", "missing host" },
  { "{vault://hcv?host=" .. EVIL .. "}", NO_REFERENCE },
  { "{vault://hcv#" .. EVIL .. "/hello/foo}", NO_REFERENCE },
}

_M.PATHS = {
  { "{vault://hcv/../sys/health/foo}", "may not hold `.` or `..`" },
  { "{vault://hcv/..%2F..%2Fsys%2Fhealth/foo}", "may not hold `.` or `..`" },
  { "{vault://hcv/%2e%2e%2f%2e%2e%2fauth%2ftoken%2fcreate/foo}", "may not hold `.` or `..`" },
  { "{vault://hcv/hello%2F..%2F..%2Fsys/foo}", "may not hold `.` or `..`" },
  { "{vault://hcv/.%2Fhello/foo}", "may not hold `.` or `..`" },
  { "{vault://hcv/%252e%252e%252fsys/foo}", NO_SUCH },
  { "{vault://hcv/..;%2Fsys/foo}", NO_SUCH },
  { "{vault://hcv/..%5C..%5Csys/foo}", NO_SUCH },
  { "{vault://hcv/．．%2Fsys/foo}", NO_SUCH },
  { "{vault://hcv/%2F%2F" .. EVIL .. "%2Fhello/foo}", "may not hold an empty part" },
  { "{vault://hcv/%2Fsys%2Fhealth/foo}", "may not hold an empty part" },
  { "{vault://hcv/http:%2F%2F" .. EVIL .. "%2Fhello/foo}", "may not hold an empty part" },
  { "{vault://hcv/http:/" .. EVIL .. "/hello/foo}", NO_SUCH },
  { "{vault://hcv/@" .. EVIL .. "/foo}", NO_SUCH },
  { "{vault://hcv/:EVIL@" .. EVIL .. "/foo}", NO_SUCH },
  { "{vault://hcv/hello%3Fversion=1%26host=evil/foo}", NO_SUCH },
  { "{vault://hcv/hello%23fragment/foo}", NO_SUCH },
  { "{vault://hcv/hello%20HTTP%2F1.1/foo}", NO_SUCH },
  { "{vault://hcv/hello%0d%0aX-Vault-Namespace:%20root/foo}", "may not hold control characters" },
  { "{vault://hcv/hello%0d%0a%0d%0aGET%20%2F/foo}", "may not hold control characters" },
  { "{vault://hcv/hello\r\nHost: " .. EVIL .. "/foo}", "may not hold control characters" },
  { "{vault://hcv/hello%00/foo}", "may not hold control characters" },
  { "{vault://hcv/hello%C2%85/foo}", "may not hold control characters" },
  { "{vault://hcv/hello%09/foo}", "may not hold control characters" },
  { "{vault://hcv/hello%E2%80%A8X-Evil:1/foo}", NO_SUCH }, -- a line separator
  { "{vault://hcv/hello%E5%98%8D%E5%98%8AX-Evil:1/foo}", NO_SUCH }, -- their last bytes are CR and LF
  { "{vault://hcv/%E2%80%AEolleh/foo}", NO_SUCH }, -- written from right to left
  { "{vault://hcv/%c0%ae%c0%ae%c0%afsys/foo}", "utf%-8" },
  { "{vault://hcv/%ff%fe/foo}", "utf%-8" },
  { "{vault://hcv/hello/foo#-1}", NO_REFERENCE },
  { "{vault://hcv/hello/foo#+1}", NO_REFERENCE },
  { "{vault://hcv/hello/foo#99999999999}", NO_REFERENCE },
  { "{vault://hcv/hello/foo#1#2}", NO_REFERENCE },
  { "{vault://hcv/hello/foo#1&host=" .. EVIL .. "}", NO_REFERENCE },
  { "{vault://hcv/hello/foo#1?host=" .. EVIL .. "}", NO_REFERENCE },
  { "{vault://hcv/hello/foo#%31}", NO_REFERENCE },
  { "{vault://hcv/hello/foo#7}", "kv v1 has no old versions" },
  { "{vault://hcv/" .. ("a"):rep(9000) .. "/foo}", "is too long" },
  { "{vault://hcv/" .. ("%2e%2e%2f"):rep(3000) .. "/foo}", "may not hold `.` or `..`" },
  { "{vault://hcv/" .. ("a/"):rep(5000) .. "foo}", "is too long" },
  { "{vault://hcv/" .. ("?"):rep(20000) .. "}", "reference url has empty path" },
  { "{vault://hcv/away/foo}", "redirects to 127.0.0.2:EVIL, which is not followed" },
  { "{vault://hcv/away-to-socket/foo}", "redirects" },
}

_M.AWS = {
  { "{vault://aws/hello/foo?region=evil.example}", "of option region of the aws vault" },
  { "{vault://aws/hello/foo?region=" .. EVIL .. "/}", "of option region of the aws vault" },
  { "{vault://aws/hello/foo?region=us-east-1.evil.example}", "of option region of the aws vault" },
  { "{vault://aws/hello/foo?region=us-east-1@" .. EVIL .. "}", "of option region of the aws vault" },
  { "{vault://cloud/hello/foo?region=us-east-1@" .. EVIL .. "}", "of option region of the aws vault" },
  { "{vault://cloud/hello/foo?region=" .. EVIL .. "%23-1}", "of option region of the aws vault" },
  { "{vault://cloud/hello/foo?region=us-east-1%2F..}", "of option region of the aws vault" },
  { "{vault://cloud/hello/foo?region=us-east-1%0d%0aHost:%20evil}", "of option region of the aws vault" },
  { "{vault://cloud/hello/foo?region=us-east-1%0a}", "of option region of the aws vault" },
  { "{vault://cloud/hello/foo?region=us-east-1%00}", "of option region of the aws vault" },
  { "{vault://cloud/hello/foo?region=ｕs-east-1}", "of option region of the aws vault" },
  { "{vault://cloud/hello/foo?region=US-EAST-1}", "of option region of the aws vault" },
  { "{vault://cloud/hello/foo?region=us-east-1?x=1}", "of option region of the aws vault" },
  { "{vault://aws/hello/foo?use_fips=maybe}", "option use_fips of the aws vault" },
  { "{vault://aws/hello/foo?aws_access_key_id=AKIAEVIL}", "unknown option aws_access_key_id" },
  { '{vault://aws/a","SecretId":"other/}', "no secret" },
  { "{vault://aws/arn:aws:secretsmanager:us-east-1:999999999999:secret:theirs/foo}", "no secret" },
  { "{vault://aws/..%2F..%2Flatest%2Fmeta-data/foo}", "no secret" },
  { "{vault://aws/hello?x=%0d%0a/foo}", "unknown option x" },
  { "{vault://aws/hello%0d%0aX-Amz-Target:%20secretsmanager.DeleteSecret/foo}", "control character" },
  { "{vault://aws/hello%00/foo}", "control character" },
  { "{vault://aws/" .. ("b"):rep(4000) .. "/foo}", "longer than 2048 bytes" },
  { "{vault://aws/away/foo}", "aws vault" },
  { "{vault://aws/hello/foo#9}", "has no version 9" },
}

_M.GCP = {
  { "{vault://gcp/hello/foo?location=evil.example}", "of option location of the gcp vault" },
  { "{vault://gcp/hello/foo?location=" .. EVIL .. "/}", "of option location of the gcp vault" },
  { "{vault://gcp/hello/foo?location=x@" .. EVIL .. "}", "of option location of the gcp vault" },
  { "{vault://google/hello/foo?location=" .. EVIL .. "%23}", "of option location of the gcp vault" },
  { "{vault://google/hello/foo?location=x%0d%0aHost:%20evil}", "of option location of the gcp vault" },
  { "{vault://google/hello/foo?location=x%00}", "of option location of the gcp vault" },
  { "{vault://google/hello/foo?project_id=p/secrets/other/versions/1:access%3F}", "of option project_id" },
  { "{vault://google/hello/foo?project_id=..%2F..}", "of option project_id" },
  { "{vault://google/hello/foo?project_id=//" .. EVIL .. "/}", "of option project_id" },
  { "{vault://google/hello/foo?version=1:access%3Fx=}", "of option version" },
  { "{vault://google/hello/foo?version=..%2F..}", "of option version" },
  { "{vault://google/hello/foo?token_uri=http://" .. EVIL .. "}", "unknown option token_uri" },
  { "{vault://google/hello/foo?universe_domain=evil.example}", "unknown option universe_domain" },
  { "{vault://gcp/hello:access?x=/foo}", "unknown option x" },
  { "{vault://gcp/hello:access/foo}", "only have letters, digits" },
  { "{vault://gcp/projects%2Ftheirs%2Fsecrets%2Fhello/foo}", "cannot have a slash" },
  { "{vault://gcp/..%2F..%2Fv1%2Fprojects/foo}", "cannot have a slash" },
  { "{vault://gcp/../foo}", "only have letters, digits" },
  { "{vault://gcp/hello%3Fx=1/foo}", "only have letters, digits" },
  { "{vault://gcp/hello%0d%0aAuthorization:%20x/foo}", "only have letters, digits" },
  { "{vault://gcp/hello%00/foo}", "only have letters, digits" },
  { "{vault://gcp/" .. ("b"):rep(4000) .. "/foo}", "1 to 255 characters" },
  { "{vault://lure/hello/foo}", "option endpoint_url of the gcp vault.*must be https and below googleapis.com" },
  { "{vault://gcp/away/foo}", "redirects elsewhere" },
  { "{vault://gcp/hello/foo#0}", "versions count from 1" },
  { "{vault://gcp/hello/foo#9}", "has no version 9" },
}

_M.AZURE = {
  { "{vault://azure/hello/foo?vault_uri=https://" .. EVIL .. "}", "option vault_uri of the azure vault" },
  { "{vault://azure/hello/foo?vault%5furi=https://" .. EVIL .. "}", "option vault_uri of the azure vault" },
  { "{vault://azure/hello/foo?authority_host=https://" .. EVIL .. "}", "unknown option authority_host" },
  { "{vault://azure/hello/foo?AZURE_AUTHORITY_HOST=" .. EVIL .. "}", "unknown option" },
  { "{vault://azure/hello/foo?credentials_prefix=KONG}", "option credentials_prefix of the azure vault" },
  { "{vault://azure/hello/foo?client_certificate=/etc/passwd}", "option client_certificate of the azure vault" },
  { "{vault://azure/hello/foo?ttl=1&tenant_id=theirs}", "option tenant_id of the azure vault" },
  { "{vault://azure-certs/hello/key?vault_uri=https://" .. EVIL .. "}", "option vault_uri of the azure%-certs vault" },
  { "{vault://sly/hello/foo}", "tokens for 127.0.0.1 are not sent to 127.0.0.2" },
  { "{vault://veil/hello/foo}", "option proxy of the azure vault.*is the operator's alone" },
  { "{vault://slier/hello/foo}", "verify_challenge_resource.*is the operator's alone" },
  { "{vault://azure/..%2Fkeys%2Fhello/foo}", "no secret's name" },
  { "{vault://azure/hello%2F..%2F..%2Fkeys/foo}", "no secret's name" },
  { "{vault://azure/hello%2F" .. ("0"):rep(32) .. "%2Fx/foo}", "no secret's name" },
  { "{vault://azure/%2F%2F" .. EVIL .. "%2Fhello/foo}", "no secret's name" },
  { "{vault://azure/@" .. EVIL .. "/foo}", "no secret's name" },
  { "{vault://azure/hello%3Fapi-version=1/foo}", "no secret's name" },
  { "{vault://azure/hello%23x/foo}", "no secret's name" },
  { "{vault://azure/hello%0d%0aAuthorization:%20x/foo}", "no secret's name" },
  { "{vault://azure/hello%00/foo}", "no secret's name" },
  { "{vault://azure/ｈello/foo}", "no secret's name" },
  { "{vault://azure/" .. ("a"):rep(128) .. "/foo}", "no secret's name" },
  { "{vault://azure/hello/foo#9}", "no such version" },
  { "{vault://azure/away/foo}", "redirects elsewhere" },
  { "{vault://azure/away/foo#2}", "SecretNotFound" },
}

_M.CONJUR = {
  { "{vault://conjur/hello/foo?endpoint%5furl=http://" .. EVIL .. "}", "option endpoint_url of the conjur vault" },
  { "{vault://conjur/hello/foo?appliance_url=http://" .. EVIL .. "}", "unknown option appliance_url" },
  { "{vault://conjur/hello/foo?CONJUR_APPLIANCE_URL=" .. EVIL .. "}", "unknown option" },
  { "{vault://conjur/hello/foo?jwt_file=/etc/passwd}", "option jwt_file of the conjur vault" },
  { "{vault://conjur/hello/foo?ttl=1&azure_endpoints=http://" .. EVIL .. "}", "option azure_endpoints" },
  { "{vault://sly-conjur/hello/foo}", "CONJUR_AUTHN_API_KEY is only used for the Conjur of CONJUR_APPLIANCE_URL" },
  { "{vault://slier-conjur/hello/foo}", "a token of Azure is not sent to an address" },
  { "{vault://slyest-conjur/hello/foo}", "azure_endpoints.*is the operator's alone" },
  { "{vault://conjur/..%2F..%2F..%2Fauthn%2Fours/foo}", "cannot have the parts" },
  { "{vault://conjur/hello%2F..%2Fother/foo}", "cannot have the parts" },
  { "{vault://conjur/hello%5C..%5Cother/foo}", "cannot have the parts" },
  { "{vault://conjur/../foo}", "cannot have the parts" },
  { "{vault://conjur/hello%0d%0aAuthorization:%20x/foo}", "cannot have control characters" },
  { "{vault://conjur/hello%00/foo}", "cannot have control characters" },
  { "{vault://conjur/hello%c2%85/foo}", "cannot have control characters" },
  { "{vault://conjur/" .. ("b"):rep(4000) .. "/foo}", "1 to 2048 bytes" },
  { "{vault://conjur/%2F%2F" .. EVIL .. "%2Fhello/foo}", "no value of the variable" },
  { "{vault://conjur/@" .. EVIL .. "/foo}", "no value of the variable" },
  { "{vault://conjur/hello%3Fversion=1/foo}", "no value of the variable" },
  { "{vault://conjur/hello%23x/foo}", "no value of the variable" },
  { "{vault://conjur/hello%252F..%252Fother/foo}", "no value of the variable" },
  { "{vault://conjur/theirs:variable:hello,x/foo}", "no value of the variable" },
  { "{vault://conjur/ｈello/foo}", "no value of the variable" },
  { "{vault://conjur/away/foo}", "redirects elsewhere" },
  { "{vault://conjur/hello/foo#0}", "versions count from 1" },
  { "{vault://conjur/hello/foo#9}", "no version 9" },
}

--- Returns all of them, with the attacker's port instead of `EVIL`.
function _M.all(port)
  local all = {}
  for _, list in ipairs({ _M.of_tables(), _M.OPTIONS, _M.NAMES, _M.PATHS, _M.AWS, _M.GCP, _M.AZURE, _M.CONJUR }) do
    for _, pair in ipairs(list) do
      all[#all + 1] = { (pair[1]:gsub("EVIL", port)), (pair[2]:gsub("EVIL", port)) }
    end
  end
  return all
end

return _M
