-- Everything that can be wrong with a vault, its answers and what is asked of it: a clear error each, the same worker
-- before and after, the next good reference works, and no secret in anything that is written down.

local cleanup = require "spec.support.cleanup"
local certs = require "spec.support.certs"
local fake = require "spec.support.fake"
local files = require "spec.support.files"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"

local cjson = require "cjson"

-- In every answer and credential of these specs.
local SECRET = "s3cret-0f-the-specs"
local TOKEN = "t0ken-" .. SECRET

local WRAPPED = "^could not get value from external vault %(no value found %(.+%)%)$"

local function kv(value)
  return cjson.encode({ data = { value = value, number = 1, on = true, list = { SECRET }, text = SECRET } })
end

-- What the vault answers, by the secret's name, and what a user is told of it.
local ANSWERS = {
  ["no-json"] = { { body = SECRET }, "not" },
  ["cut-json"] = { { body = '{"data":{"value":"' .. SECRET }, "not" },
  ["html"] = { { body = "<html>" .. SECRET .. "</html>", headers = { content_type = "text/html" } }, "not" },
  ["no-data"] = { { body = '{"value":"' .. SECRET .. '"}' }, "lacks `data`" },
  ["nothing"] = { { body = "" }, "not" },
  ["cut-body"] = {
    { raw = 'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"data":{"value":"' .. SECRET },
    "closed before the answer was complete",
  },
  ["cut-chunk"] = {
    { raw = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100\r\n{"data":{"value":"' .. SECRET },
    "closed before the answer was complete",
  },
  ["cut-head"] = { { raw = "HTTP/1.1 200 OK\r\nX-Secret: " .. SECRET }, "closed before an answer came" },
  ["no-http"] = { { raw = "220 " .. SECRET .. "\r\n\r\n" }, "no valid HTTP" },
  ["hang-up"] = { { hang_up = true }, "closed before an answer came" },
  ["large"] = { { megabytes = 100 }, "larger than %d+ bytes" },
  ["endless"] = { { megabytes = 100, chunked = true }, "larger than %d+ bytes" },
  ["silent"] = { { gate = "silent" }, "within 1 s" },
  ["dripping"] = { { drip = 1000 }, "within 1 s" },
  ["400"] = { { status = 400, body = SECRET }, "400" },
  ["403"] = { { status = 403, body = '{"errors":["' .. SECRET .. '"]}' }, "token is wrong or expired.*403" },
  ["404"] = { { status = 404, body = '{"errors":[]}' }, "there is no secret/404" },
  ["429"] = { { status = 429, body = SECRET }, "too many requests.*429" },
  ["500"] = { { status = 500, body = SECRET }, "500" },
  ["503"] = { { status = 503, body = '{"errors":["Vault is sealed"]}' }, "sealed.*503" },
  ["sent-on"] = {
    { status = 307, headers = { location = "http://localhost:{{port}}/v1/secret/sent-on" } },
    "redirects to localhost:%d+, which is not followed",
  },
  ["sent-aside"] = {
    { status = 307, headers = { location = "http://127.0.0.1:{{port}}/v1/secret/elsewhere" } },
    "redirects to another path",
  },
  ["round-and-round"] = {
    { status = 307, headers = { location = "http://127.0.0.1:{{port}}/v1/secret/round-and-round" } },
    "redirect",
  },
}

-- The same for AWS Secrets Manager: each is an endpoint of its own.
local AWS_ANSWERS = {
  ["json"] = { { body = SECRET }, "not the JSON of a GetSecretValue" },
  ["cut"] = {
    { raw = 'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"SecretString":"' .. SECRET },
    "closed before the answer was complete",
  },
  ["binary"] = { { body = '{"SecretBinary":"!' .. SECRET .. '"}' }, "no base64" },
  ["neither"] = { { body = '{"Name":"' .. SECRET .. '"}' }, "neither SecretString nor SecretBinary" },
  ["large"] = { { megabytes = 100, chunked = true }, "larger than %d+ bytes" },
  ["redirect"] = {
    { status = 307, headers = { location = "http://127.0.0.1:{{port}}/aws/elsewhere" } },
    "redirects elsewhere",
  },
  ["throttled"] = {
    { status = 400, body = '{"__type":"ThrottlingException"}' },
    "too many requests.*ThrottlingException",
  },
  ["expired"] = { { status = 400, body = '{"__type":"ExpiredTokenException"}' }, "session token from .* has expired" },
  ["failing"] = { { status = 500, body = SECRET }, "failed: try again.*500" },
}

-- References that are wrong by themselves: the whole text of the error, or a pattern for it.
local REFERENCES = {
  ["{vault://hcv}"] = "reference url is missing path [{vault://hcv}]",
  ["{vault://hcv/}"] = "reference url has empty path [{vault://hcv/}]",
  ["{vault://hcv///}"] = "reference url has invalid path [{vault://hcv///}]",
  ["{vault://hcv/a/b#x}"] = "reference url has invalid version [{vault://hcv/a/b#x}]",
  ["{vault://nope/a/b}"] = "could not find vault (nope)",
  [SECRET] = "not a reference [" .. SECRET .. "]",
}

local OPTIONS = {
  ["{vault://hcv/a/b?nope=1}"] = "option nope",
  ["{vault://hcv/a/b?ttl=soon}"] = 'value "soon" of option ttl .*seconds',
  ["{vault://hcv/a/b?host=localhost}"] = "option host .*is not allowed in a reference",
  ["{vault://hcv/a/b?token=" .. TOKEN .. "}"] = "option token .*is not allowed in a reference",
  ["{vault://aws/a?endpoint_url=http://localhost}"] = "option endpoint_url .*is not allowed in a reference",
  ["{vault://aws/a?region=/}"] = "option region",
}

local PARTS = {
  ["{vault://hcv/good/absent}"] = "subfield absent not found in JSON secret",
  ["{vault://hcv/good/number}"] = "unexpected number value in JSON secret for subfield number",
  ["{vault://hcv/good/on}"] = "unexpected boolean value in JSON secret for subfield on",
  ["{vault://hcv/good/list}"] = "unexpected table value in JSON secret for subfield list",
  ["{vault://hcv/good/text?base64_decode=true}"] = "unable to base64 decode value",
  ["{vault://env/of-the-specs/key}"] = "unable to json decode value",
}

local function each_sorted(map)
  local keys = {}
  for key in pairs(map) do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  local i = 0
  return function()
    i = i + 1
    return keys[i], map[keys[i]]
  end
end

describe("faults", function()
  local server, vault, worker
  local entities = {}

  local function entity(prefix, name, config)
    entities[#entities + 1] = { prefix = prefix, name = name, config = config }
  end

  -- Ways to get no further than a connection: by entity.
  local UNREACHABLE = {
    ["refused"] = "connection refused",
    ["unresolved"] = "cannot resolve the host name",
    ["no-tls"] = "does not speak TLS",
    ["unknown-ca"] = "from a CA that is not trusted",
    ["other-name"] = "certificate is for another name",
    ["no-ca-file"] = "cannot read the CA file of `ca_cert` %(a value of 15 characters%)",
    ["bad-ca-file"] = "PEM certificate",
    ["bad-ca-text"] = "PEM certificate",
  }

  setup(function()
    local ours, theirs = certs.authority "ours", certs.authority "theirs"
    local localhost = ours.issue("localhost", "IP:127.0.0.1")
    vault = fake.start({ localhost, theirs.issue("theirs", "IP:127.0.0.1"), ours.issue("other", "DNS:other.example") })
    local function routes(answers, start)
      for name, case in pairs(answers) do
        local answer = cjson.decode((cjson.encode(case[1]):gsub("{{port}}", vault.port)))
        vault:route(start .. name, answer)
      end
    end
    routes(ANSWERS, "/v1/secret/")
    routes(AWS_ANSWERS, "/aws/")
    vault:route("/v1/secret/good*", { body = kv "good" })
    vault:route("/aws/good", { body = '{"SecretString":"good"}' })
    for name in pairs(AWS_ANSWERS) do
      entity(
        "aws-" .. name,
        "aws",
        { region = "eu-central-1", endpoint_url = vault.server:fill "http://127.0.0.1:{{port}}/aws/" .. name }
      )
    end
    entity(
      "aws-good",
      "aws",
      { region = "eu-central-1", endpoint_url = ("http://127.0.0.1:%d/aws/good"):format(vault.port) }
    )
    local function over_tls(prefix, port, ca_cert, host)
      entity(prefix, "hcv", { protocol = "https", host = host, port = port, ca_cert = ca_cert, token = TOKEN })
    end
    local garbage = files.write(
      files.folder() .. "/ca.pem",
      "-----BEGIN CERTIFICATE-----\n" .. SECRET .. "\n-----END CERTIFICATE-----\n"
    )
    entity("refused", "hcv", { port = process.free_port(), token = TOKEN })
    -- A label of more than 63 letters: the resolver knows by itself that there can't be such a host.
    entity("unresolved", "hcv", { host = ("a"):rep(64) .. ".invalid", token = TOKEN })
    over_tls("tls-good", vault.tls_ports[1], ours.certificate)
    over_tls("no-tls", vault.port, ours.certificate)
    over_tls("unknown-ca", vault.tls_ports[2], ours.certificate)
    over_tls("other-name", vault.tls_ports[3], ours.certificate)
    over_tls("no-ca-file", vault.tls_ports[1], "/nowhere/ca.pem")
    over_tls("bad-ca-file", vault.tls_ports[1], garbage)
    over_tls("bad-ca-text", vault.tls_ports[1], "-----BEGIN CERTIFICATE-----\n" .. SECRET)
    local declared = files.write(files.folder() .. "/kong.yml", cjson.encode({ vaults = entities }))
    server = nginx.start({
      env = {
        OF_THE_SPECS = SECRET,
        KONG_VAULT_HCV_PORT = vault.port,
        KONG_VAULT_HCV_TOKEN = TOKEN,
        KONG_VAULT_FETCH_TIMEOUT = "1",
        KONG_VAULT_DECLARATIVE_CONFIG = declared,
        AWS_ACCESS_KEY_ID = "AKIDEXAMPLE",
        AWS_SECRET_ACCESS_KEY = "key-" .. SECRET,
        AWS_SESSION_TOKEN = "session-" .. SECRET,
      },
      init = [[require "kong.vault"]],
    })
    worker = server:worker()
  end)

  teardown(cleanup.run)

  local good = 0
  local function next_good_one_works()
    good = good + 1
    assert.equal("good", (server:value(("{vault://hcv/good-%d/value}"):format(good))))
    assert.equal(worker, server:worker())
  end

  -- Fails with a reason that matches, and with no secret in it.
  local function fails(reference, reason)
    local value, err = server:value(reference)
    assert.is_nil(value)
    assert.matches(WRAPPED, err)
    assert.matches(reason, err)
    assert.is_nil(err:find(SECRET, 1, true))
    next_good_one_works()
  end

  for name, case in each_sorted(ANSWERS) do
    it("an answer of a vault: " .. name, function()
      fails(("{vault://hcv/%s/value}"):format(name), case[2])
    end)
  end

  it("a redirect was followed nowhere else", function()
    assert.equal(1, vault:count "/v1/secret/sent-on")
    assert.equal(0, vault:count "/v1/secret/elsewhere")
    assert.is_true(vault:count "/v1/secret/round-and-round" <= 10)
    assert.equal(0, vault:count "/aws/elsewhere")
  end)

  for name, case in each_sorted(AWS_ANSWERS) do
    it("an answer of AWS: " .. name, function()
      fails(("{vault://aws-%s/name}"):format(name), case[2])
      assert.equal("good", (server:value(("{vault://aws-good/name-%s}"):format(name))))
    end)
  end

  for name, reason in each_sorted(UNREACHABLE) do
    it("no way to a vault: " .. name, function()
      fails(("{vault://%s/good/value}"):format(name), reason)
      assert.equal("good", (server:value "{vault://tls-good/good/value}"))
    end)
  end

  for reference, text in each_sorted(REFERENCES) do
    it("a reference: " .. reference, function()
      assert.same({ nil, text }, { server:value(reference) })
      next_good_one_works()
    end)
  end

  for reference, reason in each_sorted(OPTIONS) do
    it("an option: " .. reference, function()
      fails(reference, reason)
    end)
  end

  for reference, reason in each_sorted(PARTS) do
    it("a part of a secret: " .. reference, function()
      fails(reference, reason)
    end)
  end

  it("any bytes as a reference", function()
    for _, reference in ipairs({
      "",
      "{vault://",
      "{vault://}",
      "{vault://hcv/\0/\0}",
      "{vault://hcv/\255\254/x}",
      "{vault://hcv/%zz/x}",
    }) do
      local value, err = server:value(reference)
      assert.is_nil(value)
      assert.is_string(err)
    end
    local length = server:eval [[
      local _, err = require("kong.vault").get("{vault://hcv/" .. ("a"):rep(65536) .. "/value}")
      return #err
    ]]
    assert.is_true(length < 1000)
    next_good_one_works()
  end)

  it("what is no fault: an empty secret, a large one, any bytes", function()
    vault:route("/v1/secret/good-empty", { body = kv "" })
    vault:route("/v1/secret/good-large", { body = kv(("0123456789abcdef"):rep(65536)) })
    vault:route("/v1/secret/good-bytes", { body = kv "AP8A/w==" })
    assert.equal("", (server:value "{vault://hcv/good-empty/value}"))
    assert.equal(("0123456789abcdef"):rep(65536), (server:value "{vault://hcv/good-large/value}"))
    assert.equal("\0\255\0\255", (server:value "{vault://hcv/good-bytes/value?base64_decode=true}"))
  end)

  it("the worker is the one that began, and is no larger than the answers it keeps", function()
    assert.equal(worker, server:worker())
    assert.is_true(process.status_of(worker, "VmHWM") < 150 * 1024)
    assert.is_true(process.threads(worker) <= 6)
    local stats = cjson.encode(server:stats())
    assert.is_nil(stats:find(SECRET, 1, true))
    vault:open "silent"
    assert.equal(0, server:stop("QUIT", 10))
    assert.same({}, server:flaws({ SECRET }))
  end)
end)
