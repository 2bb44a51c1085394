-- A lean AWS client as one would write it in Lua: signs on the event loop, asks by a cosocket, parses the answer. Enough
-- for `GetSecretValue` with the environment's keys; a peer for the worker's CPU per fetch, nothing more.

local cjson = require "cjson.safe"
local cosocket = require "bench.cosocket"
local ffi = require "ffi"

ffi.cdef [[
typedef struct evp_md_st EVP_MD;
const EVP_MD *EVP_sha256(void);
unsigned char *HMAC(const EVP_MD *md, const void *key, int key_size, const unsigned char *data, size_t size,
                    unsigned char *out, unsigned int *out_size);
unsigned char *SHA256(const unsigned char *data, size_t size, unsigned char *out);
]]

local C = ffi.C
local digest = ffi.new "unsigned char[32]"

local function hmac(key, data)
  C.HMAC(C.EVP_sha256(), key, #key, data, #data, digest, nil)
  return ffi.string(digest, 32)
end

local function sha256(data)
  C.SHA256(data, #data, digest)
  return ffi.string(digest, 32)
end

local function hex(bytes)
  return (bytes:gsub(".", function(char)
    return ("%02x"):format(char:byte())
  end))
end

local REGION, SERVICE = "us-east-1", "secretsmanager"
local SIGNED = "content-type;host;x-amz-date;x-amz-target"

local _M = {}

function _M.get(target, keys, name)
  local body = cjson.encode({ SecretId = name, VersionStage = "AWSCURRENT" })
  local stamp = os.date("!%Y%m%dT%H%M%SZ", ngx.time())
  local day = stamp:sub(1, 8)
  local host = target.host .. ":" .. target.port
  local headers = ("content-type:application/x-amz-json-1.1\nhost:%s\nx-amz-date:%s\nx-amz-target:%s.GetSecretValue\n"):format(
    host,
    stamp,
    SERVICE
  )
  local canonical = ("POST\n/\n\n%s\n%s\n%s"):format(headers, SIGNED, hex(sha256(body)))
  local scope = ("%s/%s/%s/aws4_request"):format(day, REGION, SERVICE)
  local to_sign = ("AWS4-HMAC-SHA256\n%s\n%s\n%s"):format(stamp, scope, hex(sha256(canonical)))
  local key = hmac(hmac(hmac(hmac("AWS4" .. keys.secret, day), REGION), SERVICE), "aws4_request")
  local authorization = ("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s"):format(
    keys.id,
    scope,
    SIGNED,
    hex(hmac(key, to_sign))
  )
  local request = ("POST / HTTP/1.1\r\n%scontent-length: %d\r\nauthorization: %s\r\n\r\n%s"):format(
    headers:gsub("\n", "\r\n"):gsub(":", ": ", 1),
    #body,
    authorization,
    body
  )
  return cjson.decode(cosocket.exchange(target, request)).SecretString
end

return _M
