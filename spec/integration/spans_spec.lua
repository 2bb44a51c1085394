-- Spans of fetches from an nginx worker with a real OpenBao, as a collector with OpenTelemetry's own messages reads them.

local bao = require "spec.support.bao"
local cleanup = require "spec.support.cleanup"
local collector = require "spec.support.collector"
local fake = require "spec.support.fake"
local files = require "spec.support.files"
local nginx = require "spec.support.nginx"
local wait = require "spec.support.wait"

local SECRET = "s3cret-of-the-spans"
local TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

local function traceparent(flags, trace, parent)
  return { traceparent = ("00-%s-%s-%s"):format(trace or TRACE, parent or PARENT, flags or "01") }
end

local function path(name)
  return nginx.value_path(("{vault://hcv/%s/value}"):format(name))
end

describe("spans of fetches", function()
  if not bao.program() then
    return pending "TEST_BAO does not name an OpenBao program, and there is no .venv/bin/bao"
  elseif not collector.python() then
    return pending "TEST_OTLP_PYTHON names no Python with opentelemetry-proto, and .venv has none"
  end

  local vault, sink, server, folder

  local function start(endpoint, more)
    local env = {
      KONG_VAULT_HCV_PORT = vault.port,
      KONG_VAULT_HCV_TOKEN = bao.TOKEN,
      KONG_VAULT_HCV_KV = "v2",
      KONG_VAULT_FS_PREFIX = folder,
      KONG_VAULT_OTLP_ENDPOINT = endpoint,
      KONG_VAULT_OTLP_HEADERS = "{vault://env/otlp-headers}",
      KONG_VAULT_OTLP_SERVICE_NAME = "gateway",
      OTLP_HEADERS = "authorization=Bearer%20" .. SECRET,
    }
    return nginx.start({
      env = env,
      http = "lua_shared_dict kong_secrets 1m;",
      init = [[require "kong.vault"]],
      main = "env OTLP_HEADERS;",
      workers = more and more.workers,
    })
  end

  -- All requests are made first, and their spans are flushed as nginx ends.
  setup(function()
    vault, sink = bao.start(), collector.start()
    for _, name in ipairs({ "child", "unsampled", "root", "broken", "warm", "late", "renewed" }) do
      vault:write("secret/data/" .. name, { data = { value = SECRET } })
    end
    folder = files.folder()
    files.write(folder .. "/file", SECRET)
    server = start(sink.url)
    for _ = 1, 3 do
      assert.equal(SECRET, server:get(path "child", { headers = traceparent() }).body)
    end
    assert.equal(SECRET, server:get(path "unsampled", { headers = traceparent "00" }).body)
    assert.equal(SECRET, server:get(path "root").body)
    assert.equal(SECRET, server:get(path "broken", { headers = { traceparent = "00-broken" } }).body)
    assert.equal(502, server:get(path "missing", { headers = traceparent() }).status)
    assert.is_true(server:eval [[return require("kong.vault").warmup({ "{vault://hcv/warm/value}" })]])
    server:eval [[
      local vault = require "kong.vault"
      assert(vault.get "{vault://hcv/renewed/value?ttl=0.2}")
    ]]
    wait.eventually("a value is renewed", function()
      return server:stats().refreshes > 0
    end)
    -- The renewal has no event that a request could see.
    wait.eventually("its fetch has ended", function()
      return server:stats().fetching == 0
    end)
    assert.equal(SECRET, server:get(nginx.value_path "{vault://fs/file}", { headers = traceparent() }).body)
    assert.equal(0, server:stop("QUIT", 10))
  end)

  teardown(cleanup.run)

  local function only(name, purpose)
    local found = {}
    for _, span in ipairs(sink:with("kong_vault.secret", name)) do
      if not purpose or span.attributes["kong_vault.purpose"] == purpose then
        found[#found + 1] = span
      end
    end
    assert.equal(1, #found, name)
    return found[1]
  end

  it("are children of the request's traceparent, and hits have none", function()
    local span = only "child"
    assert.same({ TRACE, PARENT }, { span.trace_id, span.parent_span_id })
    assert.equal("fetch hcv", span.name)
    assert.equal("SPAN_KIND_CLIENT", span.kind)
    assert.same({
      ["kong_vault.backend"] = "hcv",
      ["kong_vault.vault"] = "hcv",
      ["kong_vault.secret"] = "child",
      ["kong_vault.purpose"] = "miss",
      ["kong_vault.changed"] = true,
      ["kong_vault.requests"] = 1,
      ["http.response.status_code"] = 200,
      ["server.address"] = "127.0.0.1",
      ["server.port"] = vault.port,
    }, span.attributes)
    assert.is_nil(span.status)
    local began, ended = tonumber(span.start_time_unix_nano), tonumber(span.end_time_unix_nano)
    assert.is_true(began < ended and ended - began < 10e9, ended - began)
    assert.is_true(math.abs(ended / 1e9 - os.time()) < 120)
    assert.equal("gateway", span.resource["service.name"])
    assert.equal("kong-vault", span.scope.name)
  end)

  it("are not there where the request's trace is not recorded", function()
    assert.same({}, sink:with("kong_vault.secret", "unsampled"))
  end)

  it("begin a trace where the request has none, or a header that is none", function()
    for _, name in ipairs({ "root", "broken", "warm" }) do
      local span = only(name)
      assert.equal("", span.parent_span_id, name)
      assert.is_true(span.trace_id ~= TRACE and #span.trace_id == 32 and #span.span_id == 16, name)
    end
  end)

  it("say why a fetch failed", function()
    local span = only "missing"
    assert.same({ TRACE, PARENT }, { span.trace_id, span.parent_span_id })
    assert.equal("STATUS_CODE_ERROR", span.status.code)
    assert.matches("there is no secret/data/missing", span.status.message, 1, true)
    assert.equal("not_found", span.attributes["error.type"])
    assert.equal(404, span.attributes["http.response.status_code"])
    assert.is_nil(span.attributes["kong_vault.changed"])
  end)

  it("name no server for a file", function()
    -- A directory that begins to be watched is read once more.
    local span = only("file", "miss")
    assert.same({ TRACE, PARENT, "SPAN_KIND_INTERNAL" }, { span.trace_id, span.parent_span_id, span.kind })
    assert.is_nil(span.attributes["server.address"])
  end)

  it("are roots for renewals", function()
    local renewals = {}
    for _, span in ipairs(sink:with("kong_vault.secret", "renewed")) do
      assert.equal("", span.parent_span_id)
      if span.attributes["kong_vault.purpose"] == "renewal" then
        renewals[#renewals + 1] = span
        assert.is_false(span.attributes["kong_vault.changed"])
      end
    end
    assert.is_true(#renewals > 0)
  end)

  it("are sent with the headers, which may be a reference, and hold no secret", function()
    assert.equal("Bearer " .. SECRET, sink:headers().authorization)
    for _, span in ipairs(sink:spans()) do
      assert.is_nil(require("cjson").encode(span):find(SECRET, 1, true))
    end
    assert.same({}, server:flaws({ bao.TOKEN, SECRET }))
  end)

  -- Without a dictionary, a fetch starts within the look-up that creates it.
  for _, dictionary in ipairs({ "lua_shared_dict kong_secrets 1m;", "" }) do
    it("are linked with the other requests that wait, with the dictionary: " .. tostring(dictionary ~= ""), function()
      local slow = fake.start()
      slow:route("/v1/secret/shared", { gate = "held" })
      local nginx_of_fake = nginx.start({
        env = {
          KONG_VAULT_HCV_PORT = slow.port,
          KONG_VAULT_HCV_TOKEN = "t",
          KONG_VAULT_OTLP_ENDPOINT = sink.url .. "/v1/traces",
        },
        http = dictionary,
        init = [[require "kong.vault"]],
      })
      local requests = {}
      for number = 1, 3 do
        local trace, parent = ("%032x"):format(number), ("%016x"):format(number)
        local headers = traceparent(number == 1 and "00" or "01", trace, parent)
        requests[number] = nginx_of_fake:open(path "shared", { headers = headers })
        wait.eventually("a request waits", function()
          return nginx_of_fake:stats().misses == number
        end)
      end
      slow:open "held"
      for number = 1, 3 do
        assert.equal("value of shared", requests[number]:read().body)
      end
      local before = #sink:with("kong_vault.secret", "shared")
      assert.equal(0, nginx_of_fake:stop("QUIT", 10))
      local spans = sink:with("kong_vault.secret", "shared")
      assert.equal(before + 1, #spans)
      local span = spans[#spans]
      -- The first request's trace is not recorded.
      assert.same({ ("%032x"):format(2), ("%016x"):format(2) }, { span.trace_id, span.parent_span_id })
      assert.same({ { trace_id = ("%032x"):format(3), span_id = ("%016x"):format(3) } }, span.links)
    end)
  end

  it("are dropped where the collector refuses them, which the log says once", function()
    local refused = start(sink.url .. "/deny")
    -- So many are sent at once.
    local ok = refused:eval [[
      local references = {}
      for number = 1, 512 do
        references[number] = ("{vault://hcv/nothing-%d/value}"):format(number)
      end
      return require("kong.vault").warmup(references)
    ]]
    assert.is_falsy(ok)
    wait.eventually("a batch is dropped", function()
      return refused:stats().spans_dropped == 512
    end)
    assert.equal(0, refused:stats().spans_sent)
    assert.equal(
      1,
      refused:logged "refuses the spans: check vault_otlp_headers (status 401); spans are dropped meanwhile"
    )
    assert.equal(0, refused:stop("QUIT", 10))
    assert.same({}, refused:flaws({ bao.TOKEN, SECRET }))
  end)

  it("delay nothing where the collector hangs, and are dropped", function()
    local hung, plain = start(sink.url .. "/hang"), start(nil)
    local function time(of)
      local start_time = require("socket").gettime()
      for i = 1, 20 do
        assert.equal(502, of:get(path("nothing-" .. i), { headers = traceparent() }).status)
      end
      return require("socket").gettime() - start_time
    end
    local without, with = time(plain), time(hung)
    assert.is_true(with < 2 * without + 0.5, with .. " s, without spans " .. without)
    -- A quitting worker waits for 2 s at most.
    assert.equal(0, hung:stop("QUIT", 10))
    assert.equal(0, plain:stop("QUIT", 10))
  end)
end)
