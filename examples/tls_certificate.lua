-- For ssl_certificate_by_lua: serves the certificate and the key that two references stand for (see tls.conf).

local ssl = require "ngx.ssl"
local vault = require "kong.vault"

local _M = {}

-- What was parsed last, and what from: parsing takes longer than everything else here.
local parsed = {}

local function parse(kind, pem, parser)
  local last = parsed[kind]
  if last and last.pem == pem then
    return last.value
  end
  local value, err = parser(pem)
  if not value then
    return nil, err
  end
  parsed[kind] = { pem = pem, value = value }
  return value
end

local function load(pair)
  local cert, err = vault.get(pair.cert)
  if not cert then
    return nil, err
  end
  local key
  key, err = vault.get(pair.key)
  if not key then
    return nil, err
  end
  cert, err = parse("cert", cert, ssl.parse_pem_cert)
  if not cert then
    return nil, "the certificate can't be read: " .. err
  end
  key, err = parse("key", key, ssl.parse_pem_priv_key)
  if not key then
    return nil, "the key can't be read: " .. err
  end
  return cert, key
end

-- A handshake that needs a fetch waits for it; one that has no certificate is refused.
function _M.serve(pair)
  local cert, key = load(pair)
  local ok, err = cert, key
  if ok then
    ok, err = ssl.clear_certs()
  end
  if ok then
    ok, err = ssl.set_cert(cert)
  end
  if ok then
    ok, err = ssl.set_priv_key(key)
  end
  if not ok then
    ngx.log(ngx.ERR, "no certificate for this handshake: ", err)
    return ngx.exit(ngx.ERROR)
  end
end

return _M
