-- Conjur in nginx workers: access tokens that end every few seconds under load, projected tokens of Kubernetes, strategies.

local cleanup = require "spec.support.cleanup"
local files = require "spec.support.files"
local http = require "spec.support.http"
local load = require "spec.support.load"
local nginx = require "spec.support.nginx"
local wait = require "spec.support.wait"

-- Seconds that a token lives, and seconds of load.
local LIFE, LOAD = 5, 12
local WORKERS = 2

-- Conjur, which takes only tokens that it gave and that live.
local SERVERS = [[
  lua_shared_dict conjur 1m;
  lua_need_request_body on;
  server {
    listen 127.0.0.1:{{conjur}};
    location / {
      content_by_lua_block {
        local conjur, uri = ngx.shared.conjur, ngx.var.request_uri
        if uri == "/seen" then
          return ngx.print(conjur:get "logins" or 0, " ", conjur:get "refusals" or 0, " ", conjur:get "reads" or 0)
        elseif uri == "/requests" then
          return ngx.print(conjur:get "batches" or 0, " ", conjur:get "singles" or 0)
        elseif ngx.var.request_method == "POST" then
          local body = ngx.req.get_body_data()
          local is_known = uri == "/authn/ours/host%2Fapps%2Fgateway/authenticate" and body == "of-the-app"
            or uri == "/authn-jwt/k8s/ours/authenticate" and ngx.req.get_post_args().jwt == "of.the.pod"
          if not is_known then
            return ngx.exit(401)
          end
          local now = math.floor(ngx.now())
          local claims = ('{"sub":"host/apps/gateway","iat":%d,"exp":%d}'):format(now, now + {{life}})
          local token = ('{"protected":"e30=","payload":"%s","signature":"s3cret-%d"}'):format(
            ngx.encode_base64(claims),
            conjur:incr("logins", 1, 0)
          )
          conjur:set('Token token="' .. ngx.encode_base64(token) .. '"', true, {{life}})
          return ngx.print(token)
        end
        if not conjur:get(ngx.var.http_authorization or "") then
          conjur:incr("refusals", 1, 0)
          ngx.status = 401
          return ngx.print "Unauthorized: Invalid token"
        end
        local ids = uri:match "^/secrets%?variable_ids=(.+)$"
        if ids then
          -- All or nothing, in base64 for whoever wants that.
          assert(ngx.req.get_headers()["accept-encoding"] == "base64")
          conjur:incr("batches", 1, 0)
          local values = {}
          for id in ids:gmatch "[^,]+" do
            local name = ngx.unescape_uri(id):match "^ours:variable:(many/%d+)$"
            if not name then
              return ngx.exit(403)
            end
            values["ours:variable:" .. name] = ngx.encode_base64("value of " .. name) .. "\n"
          end
          ngx.header["content-encoding"] = "base64"
          return ngx.print(require("cjson").encode(values))
        end
        local many = uri:match "^/secrets/ours/variable/(many%%2F%d+)$"
        if many then
          conjur:incr("singles", 1, 0)
          return ngx.print("value of ", ngx.unescape_uri(many))
        end
        if uri ~= "/secrets/ours/variable/BotApp%2Fdb" then
          ngx.status = 404
          return ngx.print '{"error":{"code":"not_found","message":"x"}}'
        end
        conjur:incr("reads", 1, 0)
        ngx.print '{"password":"from Conjur"}'
      }
    }
  }
]]

describe("conjur in nginx,", function()
  local servers

  local function start(env, more)
    env.KONG_VAULT_CONJUR_ENDPOINT_URL = "http://127.0.0.1:" .. servers.vars.conjur
    env.KONG_VAULT_CONJUR_ACCOUNT = "ours"
    local options = { env = env, init = [[require "kong.vault"]], workers = WORKERS }
    for name, value in pairs(more or {}) do
      options[name] = value
    end
    return nginx.start(options)
  end

  local function with_key(more)
    return start({ KONG_VAULT_CONJUR_LOGIN = "host/apps/gateway", KONG_VAULT_CONJUR_API_KEY = "of-the-app" }, more)
  end

  setup(function()
    servers = nginx.start({ ports = { "conjur" }, http = SERVERS, vars = { life = LIFE } })
  end)

  teardown(cleanup.run)

  it("no read fails while tokens end under load, and there are no more logins than tokens ask for", function()
    local worker = with_key({ http = "lua_shared_dict kong_secrets 5m;" })
    local path = nginx.value_path "{vault://conjur/BotApp%2Fdb/password?ttl=0.05&resurrect_ttl=0}"
    local running = load.start(worker, { paths = { path }, rate = 200, connections = 8 })
    wait.pass(LOAD)
    local samples = running:stop()
    assert.is_true(#samples > LOAD * 50, #samples)
    assert.same({}, samples:failures())
    for _, sample in ipairs(samples) do
      assert.equal("from Conjur", sample.body)
    end
    local logins, refusals, reads = http.request(servers.vars.conjur, "/seen").body:match "^(%d+) (%d+) (%d+)$"
    assert.equal("0", refusals)
    assert.is_true(tonumber(reads) > LOAD * 3, reads .. " reads")
    -- Each worker has a token of its own, and renews it when a quarter to a third of its life is left.
    local due = WORKERS * math.ceil(LOAD / (LIFE * 0.6)) + WORKERS
    assert.is_true(tonumber(logins) >= 2 and tonumber(logins) <= due, ("%s logins, %d are due"):format(logins, due))
    assert.equal(0, worker:stop("QUIT", 10))
    assert.same({}, worker:flaws({ "of-the-app", "s3cret-" }))
  end)

  it("many variables are warmed up with few requests", function()
    local worker = with_key({ http = "lua_shared_dict kong_secrets 5m;" })
    local right = worker:eval [[
      local vault, references, right = require "kong.vault", {}, 0
      for i = 1, 100 do
        references[i] = "{vault://conjur/many%2F" .. i .. "}"
      end
      -- One that may not be read has its whole request refused.
      references[101] = "{vault://conjur/BotApp%2Fdb/password}"
      assert(vault.warmup(references))
      for i = 1, 100 do
        right = right + (vault.get(references[i]) == "value of many/" .. i and 1 or 0)
      end
      return right + (vault.get(references[101]) == "from Conjur" and 1 or 0)
    ]]
    assert.equal(101, right)
    local batches, singles = http.request(servers.vars.conjur, "/requests").body:match "^(%d+) (%d+)$"
    assert.is_true(tonumber(batches) <= 12 and tonumber(singles) <= 3, batches .. " batches, " .. singles .. " singles")
    assert.same({}, worker:flaws({ "value of many", "of-the-app", "s3cret-" }))
  end)

  it("a projected token logs in, and one that comes later does", function()
    local path = files.folder() .. "/token"
    local worker = start({
      KONG_VAULT_CONJUR_AUTH_METHOD = "jwt",
      KONG_VAULT_CONJUR_SERVICE_ID = "k8s",
      KONG_VAULT_CONJUR_JWT_FILE = path,
    })
    local _, err = worker:value "{vault://conjur/BotApp%2Fdb/password}"
    assert.matches("no JWT to log in with: " .. path .. " does not exist", err, 1, true)
    files.write(path, "of.the.pod\n")
    wait.eventually("the token is found", function()
      return worker:value "{vault://conjur/BotApp%2Fdb/password}" == "from Conjur"
    end)
    assert.same({}, worker:flaws({ "of.the.pod", "s3cret-" }))
  end)

  it("a strategy takes options from the environment while Kong reads kong.conf", function()
    local kong = with_key({
      init = [[
        local strategy = require "kong.vaults.conjur.init"
        strategy.init()
        in_init = { strategy.get({}, "BotApp/db") }
      ]],
    })
    assert.equal('{"password":"from Conjur"}', (kong:eval "return in_init[1]"))
  end)
end)
