-- In a real Kong, spans of fetches are children of Kong's own spans, which its plugin `opentelemetry` sends to the same
-- collector.

local cjson = require "cjson"

local cleanup = require "spec.support.cleanup"
local collector = require "spec.support.collector"
local files = require "spec.support.files"
local machine = require "spec.support.machine"

-- `pre-function` runs before Kong's plugin for tracing, `post-function` after it.
local SCRIPT = [[
%s spec/support/otlp_collector.py 4318 &
cat >/mnt/kong.yml <<'KONG'
_format_version: "3.0"
services:
- name: answer
  url: http://127.0.0.1:9
  routes:
  - name: answer
    paths: ["/"]
plugins:
- name: kong-vault
- name: opentelemetry
  config: { traces_endpoint: "http://127.0.0.1:4318/v1/traces", sampling_rate: 1, queue: { max_coalescing_delay: 0.1 } }
- name: pre-function
  config: { access: ['kong.vault.get("{vault://hcv/before-" .. kong.request.get_path():sub(2) .. "/value}")'] }
- name: post-function
  config:
    access:
    - |
      local value, err = kong.vault.get("{vault://hcv/after-" .. kong.request.get_path():sub(2) .. "/value}")
      kong.response.exit(200, value or err)
KONG
export KONG_DATABASE=off KONG_DECLARATIVE_CONFIG=/mnt/kong.yml KONG_PLUGINS=bundled,kong-vault KONG_UNTRUSTED_LUA=on
export KONG_PROXY_LISTEN=127.0.0.1:8000 KONG_ADMIN_LISTEN=off KONG_ADMIN_GUI_LISTEN=off KONG_STATUS_LISTEN=off
export KONG_NGINX_USER='root root' KONG_PREFIX=/mnt/kong KONG_TRACING_INSTRUMENTATIONS=all KONG_TRACING_SAMPLING_RATE=1
export KONG_VAULTS=bundled,hcv
export KONG_VAULT_HCV_HOST=127.0.0.1 KONG_VAULT_HCV_PORT=8199 KONG_VAULT_HCV_TOKEN=root KONG_VAULT_HCV_KV=v2
export KONG_VAULT_OTLP_ENDPOINT=http://127.0.0.1:4318
for name in traced untraced declined; do
  bao kv put -mount=secret "before-$name" value=s3cret
  bao kv put -mount=secret "after-$name" value=s3cret
done
until curl -sf -o /dev/null http://127.0.0.1:4318/spans; do sleep 0.1; done
kong start
ask() {
  curl -sSf "$@" >>/mnt/out/answers
}
ask http://127.0.0.1:8000/traced -H 'traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
ask http://127.0.0.1:8000/untraced
ask http://127.0.0.1:8000/declined -H 'traceparent: 00-5bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00'
# Workers that end send what waits.
kong quit
curl -s http://127.0.0.1:4318/spans >/mnt/out/spans
]]

describe("spans of fetches in Kong", function()
  teardown(cleanup.run)

  local missing = machine.lacking_kong()
    or not collector.python() and "a Python with opentelemetry-proto (TEST_OTLP_PYTHON)"
  if missing then
    return pending("needs " .. missing)
  end

  local of_kong, ours = {}, {}

  setup(function()
    local out = machine.succeed(SCRIPT:format(collector.python()))
    assert.equal(("s3cret"):rep(3), files.read(out .. "/answers"))
    for _, span in ipairs(cjson.decode(files.read(out .. "/spans"))) do
      if span.scope.name == "kong-vault" then
        ours[span.attributes["kong_vault.secret"]] = span
      else
        of_kong[span.span_id] = span
      end
    end
  end)

  for _, when in ipairs({ "before", "after" }) do
    it("are children of Kong's spans, in the request's trace, " .. when .. " Kong's plugin has run", function()
      local span = assert(ours[when .. "-traced"])
      local parent = assert(of_kong[span.parent_span_id], "no span of Kong is the parent")
      assert.equal("4bf92f3577b34da6a3ce929d0e0e4736", span.trace_id)
      assert.equal(span.trace_id, parent.trace_id)
      assert.equal(("kong.access.plugin.%s-function"):format(when == "before" and "pre" or "post"), parent.name)
    end)

    it("are in Kong's trace where the request has none, " .. when .. " Kong's plugin has run", function()
      local span = assert(ours[when .. "-untraced"])
      local parent = assert(of_kong[span.parent_span_id], "no span of Kong is the parent")
      assert.equal(span.trace_id, parent.trace_id)
    end)

    it("are not there where the request's trace is not recorded, " .. when .. " Kong's plugin has run", function()
      assert.is_nil(ours[when .. "-declined"])
    end)
  end
end)
