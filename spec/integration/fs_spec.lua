-- The `fs` vault in real workers: values of one version, changes that are seen at once, one watch for a node.

local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local files = require "spec.support.files"
local in_kong = require "spec.support.in_kong"
local load = require "spec.support.load"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local volumes = require "spec.support.volume"
local wait = require "spec.support.wait"

local cjson = require "cjson"
local lfs = require "lfs"
local socket = require "socket"

-- Within how many seconds each worker has a change.
local SEEN = 1

describe("the fs vault", function()
  teardown(cleanup.run)

  local function start(prefix, options)
    options.env = options.env or {}
    options.env.KONG_VAULT_FS_PREFIX = prefix
    options.init = options.init or [[require "kong.vault"]]
    options.http = options.http or "lua_shared_dict kong_secrets 5m;"
    return nginx.start(options)
  end

  local function ends_well(server)
    assert.equal(0, server:stop("QUIT", 10))
    assert.same({}, server:flaws())
  end

  local function publish(volume, version)
    version = tostring(version)
    volume:publish({ user = version, password = version, ["all.json"] = cjson.encode({ of = version }) })
  end

  -- The workers that have an inotify instance.
  local function watchers(server)
    local found = {}
    for _, pid in ipairs(server:workers()) do
      for descriptor in lfs.dir(("/proc/%d/fd"):format(pid)) do
        local target = lfs.symlinkattributes(("/proc/%d/fd/%s"):format(pid, descriptor), "target")
        if target and target:find("inotify", 1, true) then
          found[#found + 1] = pid
        end
      end
    end
    return found
  end

  -- Waits until all workers answer with that version.
  local function all_see(server, path, version)
    local workers = {}
    wait.eventually("all workers see version " .. version, function()
      local answer = server:get(path)
      assert(answer.status == 200, answer.body)
      workers[answer.headers["x-worker"]] = answer.body
      local count = 0
      for _, body in pairs(workers) do
        count = count + (body:match "^%S+" == tostring(version) and 1 or 0)
      end
      return count == #server:workers()
    end)
  end

  it("gives two keys of a volume of one version, through 200 swaps under load, each seen within a second", function()
    local volume = volumes.new(files.folder() .. "/volume")
    publish(volume, 0)
    local server = start(volume.path, { workers = 2 })
    local path = nginx.value_path("{vault://fs/user}", "{vault://fs/password}", "{vault://fs/all.json/of}")
    all_see(server, path, 0)
    local running = load.start(server, { paths = { path }, connections = 4, rate = 1500 })
    local published = { [0] = socket.gettime() }
    for version = 1, 200 do
      publish(volume, version)
      published[version] = socket.gettime()
      wait.pass(0.02)
    end
    local bound = wait.bound(SEEN)
    wait.pass(bound)
    local samples = running:stop()
    assert.same({}, samples:failures())
    assert.is_true(#samples > 1000, #samples .. " requests")
    local seen = {}
    for _, sample in ipairs(samples) do
      local user, password, of = sample.body:match "^(%S+) (%S+) (%S+)$"
      assert.equal(user, password)
      assert.equal(user, of)
      local version = tonumber(user)
      seen[version] = true
      -- The next one was not there yet, or not for long.
      local due = published[version + 1]
      assert.is_true(
        not due or sample.at < due + bound,
        due and ("version %d is served %.3f s after its end"):format(version, sample.at - due)
      )
    end
    assert.is_true(seen[200])
    local count = 0
    for _ in pairs(seen) do
      count = count + 1
    end
    assert.is_true(count > 100, count .. " versions were seen")
    ends_well(server)
  end)

  it("gives them of one version in workers that have just begun, too", function()
    local volume = volumes.new(files.folder() .. "/volume")
    publish(volume, 0)
    local server = start(volume.path, { workers = 2 })
    local path = nginx.value_path("{vault://fs/user}", "{vault://fs/password}")
    local running = load.start(server, { paths = { path }, connections = 4, rate = 500, close = true })
    for version = 1, 200 do
      publish(volume, version)
      if version % 20 == 0 then
        server:signal "HUP"
      end
      wait.pass(0.01)
    end
    local samples = running:stop()
    assert.same({}, samples:failures())
    for _, sample in ipairs(samples) do
      local user, password = sample.body:match "^(%S+) (%S+)$"
      assert.equal(user, password)
    end
    ends_well(server)
  end)

  it("watches by one worker of a node, and by another where that one ends", function()
    local volume = volumes.new(files.folder() .. "/volume")
    publish(volume, 0)
    local server = start(volume.path, { workers = 4 })
    local path = nginx.value_path("{vault://fs/user}", "{vault://fs/password}")
    all_see(server, path, 0)
    for version = 1, 3 do
      local leaders = wait.eventually("a worker watches", function()
        local found = watchers(server)
        return #found > 0 and found
      end)
      assert.equal(1, #leaders)
      publish(volume, version)
      all_see(server, path, version)
      local before = server:workers()
      process.send(leaders[1], "KILL")
      wait.eventually("nginx has a worker in its place", function()
        local now = server:workers()
        local pids = table.concat(now, " ")
        return #now == #before and not pids:find(tostring(leaders[1]), 1, true)
      end)
      all_see(server, path, version)
    end
    ends_well(server)
  end)

  it("sees changes in a plain directory, also where that is made anew", function()
    local folder = files.folder() .. "/plain"
    files.mkdir(folder)
    files.write(folder .. "/key", "one")
    -- Read before nginx forks its workers, which have not read it themselves.
    local server = start(folder, {
      workers = 2,
      init = [[assert(require("kong.vault").get "{vault://fs/key}" == "one")]],
    })
    local path = nginx.value_path "{vault://fs/key}"
    all_see(server, path, "one")
    files.write(folder .. "/new", "two")
    assert(os.rename(folder .. "/new", folder .. "/key"))
    all_see(server, path, "two")
    files.write(folder .. "/key", "three")
    all_see(server, path, "three")
    assert(os.rename(folder, folder .. "-old"))
    files.mkdir(folder)
    files.write(folder .. "/key", "four")
    all_see(server, path, "four")
    os.remove(folder .. "/key")
    assert.equal("four", (server:value "{vault://fs/key}"))
    ends_well(server)
  end)

  it("reads nothing from outside, and says why", function()
    local folder = files.folder()
    local inside = files.mkdir(folder .. "/inside")
    files.write(folder .. "/outside", "hunter2")
    files.write(inside .. "/json", '{"a":"b"}')
    assert(lfs.link("../outside", inside .. "/relative", true))
    assert(lfs.link(folder .. "/outside", inside .. "/absolute", true))
    assert(lfs.link("..", inside .. "/parent", true))
    local server = start(inside, {})
    for path, part in pairs({
      ["relative"] = "leads outside the vault's directory by a link",
      ["absolute"] = "leads outside",
      ["parent/outside"] = "leads outside",
      ["../outside"] = "must not have `.` or `..` as a part",
      ["%2e%2e/outside"] = "must not have",
      ["none"] = "has no file none in ",
      ["json/none"] = "subfield none not found in JSON secret",
      ["json?prefix=" .. folder] = "not allowed in a reference",
    }) do
      local value, err = server:value(("{vault://fs/%s}"):format(path))
      assert.is_nil(value, path)
      assert.matches(part, err, 1, true)
    end
    assert.equal("b", (server:value "{vault://fs/json/a}"))
    assert.equal(0, server:stop("QUIT", 10))
    assert.same({}, server:flaws({ "hunter2" }))
  end)

  it("is a strategy of Kong's, for which the files of a directory are fields", function()
    local folder = files.folder()
    files.mkdir(folder .. "/db")
    files.write(folder .. "/db/password", 's3cret "quoted"\n')
    files.write(folder .. "/db/user", "gateway")
    files.write(folder .. "/creds.json", '{"token":"t"}')
    local server = in_kong.start(
      fake.start(),
      ([[
        getmetatable(kong.configuration).__index.vault_fs_prefix = %q
        strategy = require "kong.vaults.fs.init"
        strategy.init()
      ]]):format(folder)
    )
    local function get(resource)
      return server:eval(("return strategy.get({ prefix = %q }, %q)"):format(folder, resource))
    end
    assert.same({ password = 's3cret "quoted"\n', user = "gateway" }, cjson.decode((get "db")))
    assert.equal('{"token":"t"}', (get "creds.json"))
    assert.equal("gateway", (get "db/user"))
    local value, err = get "none"
    assert.is_nil(value)
    assert.matches("has no file none", err, 1, true)
    value, err = server:eval [[return strategy.get({ prefix = "/etc" }, "passwd")]]
    assert.is_nil(value)
    assert.matches("may not set its server or credentials", err, 1, true)
  end)
end)
