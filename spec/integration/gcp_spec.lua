-- Google's access tokens under load: they end every two seconds, and nobody notices.

local cleanup = require "spec.support.cleanup"
local http = require "spec.support.http"
local load = require "spec.support.load"
local nginx = require "spec.support.nginx"
local wait = require "spec.support.wait"

local socket = require "socket"

-- How long a token is good, and how long there is load, seconds.
local LIFE, SECONDS = 2, 6
local WORKERS = 2

-- The metadata server and Secret Manager. A token that is over is refused, and noted.
local GOOGLE = [[
  lua_shared_dict google 1m;
  server {
    listen 127.0.0.1:{{google}};
    location = /computeMetadata/v1/universe/universe-domain {
      content_by_lua_block {
        ngx.header["Metadata-Flavor"] = "Google"
        ngx.print "googleapis.com"
      }
    }
    location = /computeMetadata/v1/instance/service-accounts/default/token {
      content_by_lua_block {
        local number = ngx.shared.google:incr("tokens", 1, 0)
        ngx.shared.google:set("Bearer ya29." .. number, true, {{life}})
        ngx.header["Metadata-Flavor"] = "Google"
        ngx.print('{"access_token":"ya29.', number, '","expires_in":{{life}},"token_type":"Bearer"}')
      }
    }
    location = /v1/projects/ours/secrets/db/versions/latest:access {
      content_by_lua_block {
        local google = ngx.shared.google
        if not google:get(ngx.var.http_authorization or "") then
          google:incr("refusals", 1, 0)
          ngx.status = 401
          return ngx.print '{"error":{"code":401,"status":"UNAUTHENTICATED"}}'
        end
        local count = google:incr("reads", 1, 0)
        ngx.print('{"payload":{"data":"', ngx.encode_base64('{"count":"' .. count .. '"}'), '"}}')
      }
    }
    location = /seen {
      content_by_lua_block {
        local google = ngx.shared.google
        ngx.print(google:get "tokens" or 0, " ", google:get "refusals" or 0, " ", google:get "reads" or 0)
      }
    }
  }
]]

describe("a gcp vault", function()
  teardown(cleanup.run)

  it("fails no request while its tokens end, and logs in no more often than they ask", function()
    local google = nginx.start({ ports = { "google" }, vars = { life = LIFE }, http = GOOGLE })
    local server = nginx.start({
      workers = WORKERS,
      http = "lua_shared_dict kong_secrets 5m;",
      init = [[require "kong.vault"]],
      env = {
        GCE_METADATA_HOST = "127.0.0.1:" .. google.vars.google,
        HOME = "/nonexistent",
        KONG_VAULT_GCP_ENDPOINT_URL = "http://127.0.0.1:" .. google.vars.google,
        KONG_VAULT_GCP_PROJECT_ID = "ours",
        KONG_VAULT_GCP_TTL = "0.1",
      },
    })
    local running = load.start(server, { paths = { nginx.value_path "{vault://gcp/db/count}" }, rate = 200 })
    local from = socket.gettime()
    wait.eventually("there was load for a while", function()
      return socket.gettime() > from + SECONDS
    end, SECONDS + 5)
    local samples = running:stop()
    assert.same({}, samples:failures())
    local tokens, refusals, reads = http.request(google.vars.google, "/seen").body:match "^(%d+) (%d+) (%d+)$"
    assert.equal("0", refusals)
    assert.is_true(tonumber(reads) > SECONDS * 3, reads .. " reads")
    -- Each worker renews its token at 65 % of its life at the earliest.
    local due = WORKERS * (SECONDS / (0.65 * LIFE) + 2)
    assert.is_true(tonumber(tokens) >= SECONDS / LIFE, tokens .. " tokens")
    assert.is_true(tonumber(tokens) <= due, ("%s tokens, %.0f are due"):format(tokens, due))
    assert.equal(0, server:stop("QUIT", 10))
    assert.same({}, server:flaws())
  end)
end)
