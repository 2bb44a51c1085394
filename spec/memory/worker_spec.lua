-- What a worker goes through in its life, for `scripts/memcheck`, which runs it under Valgrind: what counts is not so much
-- what is asserted here as that each way through the native library is taken.

local certs = require "spec.support.certs"
local cjson = require "cjson"
local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local files = require "spec.support.files"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local wait = require "spec.support.wait"

-- The command that nginx runs under, and where the library is that it loads.
local UNDER, LIBRARY = os.getenv "TEST_UNDER", os.getenv "TEST_LIBRARY"

local LOAD = [[ require "kong.vault" ]]

local SERVER = [[
  location /abortable {
    lua_check_client_abort on;
    content_by_lua_block {
      assert(ngx.on_abort(function() ngx.exit(499) end))
      ngx.print((require("kong.vault").get(ngx.unescape_uri(ngx.var.arg_reference))))
    }
  }
  location /leave {
    content_by_lua_block {
      ngx.thread.spawn(function() require("kong.vault").get "{vault://hcv/leave/value}" end)
      ngx.print "left"
      ngx.exit(200)
    }
  }
  location /background {
    log_by_lua_block { require("kong.vault").get "{vault://hcv/background/value}" }
    return 200;
  }
]]

-- A fetch's deadline: longer than one takes under Valgrind, as short as one may be that is never answered.
local DEADLINE = 5

describe("a worker", function()
  if not (UNDER and LIBRARY) then
    return pending "TEST_UNDER and TEST_LIBRARY are not set: run scripts/memcheck"
  end

  local vault, ours

  setup(function()
    ours = certs.authority "ours"
    vault = fake.start({ ours.issue("vault", "DNS:localhost,IP:127.0.0.1") })
    vault:route("/aws/", {
      body = [[{"Name":"db","SecretString":"{\"user\":\"of aws\"}","VersionId":"1","VersionStages":["AWSCURRENT"]}]],
    })
  end)

  teardown(cleanup.run)

  local function start(options)
    local under = {}
    for word in UNDER:gmatch "%S+" do
      under[#under + 1] = word
    end
    local hcv = { port = vault.port }
    local function with(more)
      for name, value in pairs(hcv) do
        more[name] = more[name] or value
      end
      return more
    end
    local declared = {
      { prefix = "brief", name = "hcv", config = with({ ttl = 0.5 }) },
      { prefix = "noted", name = "hcv", config = with({ neg_ttl = 1, port = options.fragile }) },
      { prefix = "fragile", name = "hcv", config = with({ ttl = 0.5, port = options.fragile }) },
      {
        prefix = "tls",
        name = "hcv",
        config = { protocol = "https", host = "localhost", port = vault.tls_ports[1], ca_cert = ours.certificate },
      },
      { prefix = "untrusted", name = "hcv", config = { protocol = "https", port = vault.tls_ports[1] } },
    }
    options.under, options.lua_cpath = under, LIBRARY
    options.server = SERVER
    options.env = {
      KONG_VAULT_DECLARATIVE_CONFIG = files.write(files.folder() .. "/kong.yml", cjson.encode({ vaults = declared })),
      KONG_VAULT_HCV_PORT = vault.port,
      KONG_VAULT_AWS_REGION = "eu-central-1",
      KONG_VAULT_AWS_ENDPOINT_URL = ("http://127.0.0.1:%d/aws/"):format(vault.port),
      KONG_VAULT_FETCH_TIMEOUT = DEADLINE,
      KONG_VAULT_BREAKER_INTERVAL = "0.5",
      KONG_VAULT_CACHE_SIZE = options.cache_size,
      AWS_ACCESS_KEY_ID = "AKIDEXAMPLE",
      AWS_SECRET_ACCESS_KEY = "an example's key",
      HOME = "/nonexistent",
      OF_THE_SPECS = "captured",
    }
    return nginx.start(options)
  end

  local function get(server, reference)
    local value, err = server:value(reference)
    assert(value, err)
    return value
  end

  local function ends_well(server, signal)
    assert.equal(0, server:stop(signal or "QUIT", 10))
    assert.same({}, server:flaws())
  end

  describe("of several", function()
    local server, fragile

    setup(function()
      fragile = fake.start()
      server = start({
        workers = 2,
        fragile = fragile.port,
        http = "lua_shared_dict kong_secrets 5m;",
        init = LOAD .. [[.get "{vault://hcv/init/value}"]],
        init_worker = [[
          require("kong.vault").init_worker()
          require("kong.vault").get("{vault://hcv/init-worker/value}")
          ngx.timer.at(0, function() require("kong.vault").get("{vault://hcv/timer/value}") end)
        ]],
      })
    end)

    it("reads from each vault, over HTTP and TLS, what is cached and what is not", function()
      for reference, expected in pairs({
        ["{vault://env/of-the-specs}"] = "captured",
        ["{vault://hcv/init/value}"] = "value of init",
        ["{vault://hcv/init-worker/value}"] = "value of init-worker",
        ["{vault://hcv/plain/value}"] = "value of plain",
        ["{vault://hcv/plain/}"] = '{"value":"value of plain","count":"1"}',
        ["{vault://tls/secret/value}"] = "value of secret",
        ["{vault://aws/db/user}"] = "of aws",
      }) do
        for _ = 1, 4 do
          if reference:find "/}$" then
            assert.same(cjson.decode(expected).value, cjson.decode(get(server, reference)).value)
          else
            assert.equal(expected, get(server, reference))
          end
        end
      end
      for _ = 1, 50 do
        server:eval [[
          for i = 1, 200 do
            local reference = ("{vault://env/of-the-specs?%s=true}"):format("base64_decode")
            require("kong.vault").get(i % 2 == 0 and "{vault://hcv/plain/value}" or "{vault://env/of-the-specs}")
            if i == 1 then require("kong.vault").get(reference) end
          end
        ]]
      end
    end)

    it("serves many at once", function()
      local asked = {}
      for i = 1, 60 do
        asked[i] = server:ask(("{vault://%s/many-%d/value}"):format(i % 3 == 0 and "tls" or "hcv", i % 12))
      end
      for i = 1, 60 do
        local value, err = asked[i].read()
        assert.equal("value of many-" .. i % 12, value, err)
      end
    end)

    it("fails in each way", function()
      local failures = {
        ["404"] = { status = 404, body = '{"errors":[]}' },
        ["403"] = { status = 403, body = '{"errors":["no"]}' },
        ["500"] = { status = 500, body = "no" },
        ["429"] = { status = 429, body = "no", headers = { retry_after = "0" } },
        ["no-json"] = { body = "no" },
        ["cut-body"] = { raw = 'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"data":{"val' },
        ["no-http"] = { raw = "220 no\r\n\r\n" },
        ["hang-up"] = { hang_up = true },
        ["silent"] = { gate = "silent" },
        ["aside"] = { status = 307, headers = { location = "/v1/secret/elsewhere" } },
        ["large"] = { megabytes = 9, chunked = true },
      }
      for name, answer in pairs(failures) do
        fragile:route("/v1/secret/" .. name, answer)
      end
      for name in pairs(failures) do
        for _, prefix in ipairs({ "fragile", "noted", "noted" }) do
          local value, err = server:value(("{vault://%s/%s/value}"):format(prefix, name))
          assert.is_nil(value)
          assert.is_string(err)
        end
      end
      fragile:open "silent"
      for _, reference in ipairs({
        "{vault://hcv/plain/nothing}",
        "{vault://nowhere/a/b}",
        "{vault://hcv/plain/value?ttl=soon}",
        "{vault://env/nothing-of-that-name}",
        "{vault://untrusted/a/value}",
        "{vault://hcv/%FF%00/value}",
        "{vault://hcv}",
        "no reference",
        "",
      }) do
        assert.is_nil((server:value(reference)))
        server:eval("return require('kong.vault').parse_reference(...)", reference)
      end
    end)

    it("renews, serves stale values while the vault is away, and notices its return", function()
      wait.eventually("the vault is no longer left alone", function()
        return server:value "{vault://fragile/kept/value}"
      end)
      local before = fragile:count "/v1/secret/kept"
      wait.eventually("it is renewed", function()
        get(server, "{vault://fragile/kept/value}")
        return fragile:count "/v1/secret/kept" > before
      end)
      fragile:kill()
      wait.eventually("the vault is known to be away", function()
        assert.equal("value of kept", get(server, "{vault://fragile/kept/value}"))
        server:value "{vault://fragile/cold/value}"
        return server:eval [[
          for _, state in pairs(require("kong.vault").stats().breakers) do
            if state == "open" then return true end
          end
        ]]
      end)
      assert.equal("value of kept", get(server, "{vault://fragile/kept/value}"))
      fragile:revive()
      wait.eventually("it is asked again", function()
        assert.equal("value of kept", get(server, "{vault://fragile/kept/value}"))
        return server:value "{vault://fragile/cold/value}" == "value of cold"
      end)
    end)

    it("updates tables, tries once more, flushes, and counts", function()
      for _ = 1, 6 do
        server:eval [[
          local vault, calls = require "kong.vault", 0
          kept = kept or {
            ["$refs"] = { user = "{vault://brief/user/value}",
                          list = { "{vault://hcv/plain/value}", "{vault://env/of-the-specs}" } },
            user = "", list = { "", "" }, inner = { ["$refs"] = { key = "{vault://tls/key/value}" }, key = "" },
          }
          for _ = 1, 200 do vault.update(kept) end
          assert(vault.warmup(kept))
          vault.update(kept)
          assert(kept.user == "value of user" and kept.inner.key == "value of key")
          assert(not vault.try(function() calls = calls + 1 end, kept) and calls == 2)
          assert(vault.try(function(t) return t.list[1] end, kept) == "value of plain")
          assert(vault.flush())
          vault.update(kept)
          assert(vault.get "{vault://hcv/plain/value}" == "value of plain")
          assert(vault.stats().entries > 0 and #vault.metrics() > 0)
        ]]
      end
      server:get "/background"
    end)

    it("outlives clients who go away", function()
      vault:route("/v1/secret/gone-*", { gate = "gone" })
      local gone = {}
      for i = 1, 20 do
        gone[i] = i % 2 == 0 and server:ask(("{vault://hcv/gone-%d/value}"):format(i % 4))
          or server:open(("/abortable?reference={vault://hcv/gone-%d/value}"):format(i % 4))
      end
      vault:await("gone", 4)
      for i = 1, 20 do
        gone[i].close(gone[i])
      end
      for _ = 1, 5 do
        assert.equal("left", server:get("/leave").body)
      end
      server:eval "collectgarbage() collectgarbage()"
      vault:open "gone"
      for i = 0, 3 do
        assert.equal("value of gone-" .. i, get(server, ("{vault://hcv/gone-%d/value}"):format(i)))
      end
    end)

    it("takes over from one that was killed", function()
      vault:route("/v1/secret/killed", { gate = "killed" })
      local asked, pids = {}, server:workers()
      for i = 1, 12 do
        asked[i] = server:ask "{vault://hcv/killed/value}"
      end
      vault:await("killed", 1)
      process.send(pids[1], "KILL")
      vault:open "killed"
      for i = 1, 12 do
        -- Those of the killed one end with it.
        pcall(asked[i].read)
      end
      assert.equal("value of killed", get(server, "{vault://hcv/killed/value}"))
      wait.eventually("there are two again", function()
        return #server:workers() == 2
      end)
    end)

    it("ends after a reload once its requests have ended", function()
      for round = 1, 2 do
        local gate = "reload-" .. round
        vault:route("/v1/secret/" .. gate, { gate = gate })
        local asked, before = {}, server:workers()
        for i = 1, 8 do
          asked[i] = server:ask(("{vault://hcv/%s/value}"):format(gate))
        end
        vault:await(gate, 1)
        server:signal "HUP"
        wait.eventually("there are new workers", function()
          for _, pid in ipairs(server:workers()) do
            if pid ~= before[1] and pid ~= before[2] then
              return true
            end
          end
        end)
        assert.equal("value of plain", get(server, "{vault://hcv/plain/value}"))
        vault:open(gate)
        for i = 1, 8 do
          -- A fetch may have met its deadline meanwhile.
          asked[i].read()
        end
        wait.eventually("the old ones end", function()
          return #server:workers() == 2 and not process.alive(before[1]) and not process.alive(before[2])
        end)
      end
    end)

    it("quits with fetches under way", function()
      vault:route("/v1/secret/quit-*", { gate = "quit" })
      local asked = {}
      for i = 1, 8 do
        asked[i] = server:ask(("{vault://hcv/quit-%d/value}"):format(i))
      end
      vault:await("quit", 8)
      server:signal "QUIT"
      vault:open "quit"
      for i = 1, 8 do
        asked[i].read()
      end
      ends_well(server)
    end)
  end)

  it("without a code cache has a VM for each request", function()
    local server = start({ http = "lua_code_cache off;", init = LOAD })
    for i = 1, 12 do
      assert.equal("captured", get(server, "{vault://env/of-the-specs}"))
      assert.equal("value of anew", get(server, "{vault://hcv/anew/value}"))
      assert.equal("value of anew", get(server, "{vault://brief/anew/value}"))
      server:value(("{vault://tls/anew-%d/value}"):format(i))
    end
    vault:route("/v1/secret/vm-*", { gate = "vm" })
    local gone = {}
    for i = 1, 8 do
      gone[i] = server:ask(("{vault://hcv/vm-%d/value}"):format(i))
    end
    vault:await("vm", 8)
    for i = 1, 4 do
      gone[i].close()
    end
    vault:open "vm"
    for i = 5, 8 do
      gone[i].read()
    end
    ends_well(server)
  end)

  it("that is the only process fetches before it serves, with a cache that overflows", function()
    local server = start({ master = false, cache_size = 8, init = LOAD .. [[.get "{vault://hcv/single/value}"]] })
    for _ = 1, 2 do
      for i = 1, 30 do
        assert.equal("value of single-" .. i, get(server, ("{vault://hcv/single-%d/value}"):format(i)))
      end
    end
    assert.equal("value of single", get(server, "{vault://hcv/single/value}"))
    -- Without a master, nginx notices a signal that comes just before it begins to wait only with the next event.
    server:signal "TERM"
    wait.eventually("it ends", function()
      return server.process:ended() or not server:is_ready()
    end)
    ends_well(server, "TERM")
  end)
end)
