-- The Lua files as a whole: which module may require which.

local ROOT = "lua/"

-- The modules of the project, each with the names of those that it requires, at load or later.
local function modules()
  local found = {}
  local files = assert(io.popen("find " .. ROOT .. " -name '*.lua'"))
  for path in files:lines() do
    local name = path:sub(#ROOT + 1, -#".lua" - 1):gsub("/init$", ""):gsub("/", ".")
    local file = assert(io.open(path))
    local required = {}
    for line in file:lines() do
      for other in line:gsub("%-%-.*", ""):gmatch "require[%s%(]*[\"']([^\"']+)[\"']" do
        required[#required + 1] = other
      end
    end
    file:close()
    found[name] = required
  end
  files:close()
  return found
end

-- The paths below src/, also another crate's, that comments name, each with the file that names it.
local function named_paths()
  local found = {}
  local files = assert(io.popen("find " .. ROOT .. " -name '*.lua'"))
  for path in files:lines() do
    local file = assert(io.open(path))
    for named in file:read("*a"):gmatch "%f[%w][%w/]*src/[%w_/.]*[%w_/]" do
      found[#found + 1] = { file = path, named = named }
    end
    file:close()
  end
  files:close()
  return found
end

-- The first circle that is reached from a module, as "a > b > a".
local function circle(all, name, path, done)
  for i, earlier in ipairs(path) do
    if earlier == name then
      return table.concat(path, " > ", i) .. " > " .. name
    end
  end
  if done[name] then
    return nil
  end
  path[#path + 1] = name
  for _, other in ipairs(all[name] or {}) do
    local found = circle(all, other, path, done)
    if found then
      return found
    end
  end
  path[#path] = nil
  done[name] = true
end

local function first_circle(all)
  local done = {}
  for name in pairs(all) do
    local found = circle(all, name, {}, done)
    if found then
      return found
    end
  end
end

describe("the Lua modules", function()
  it("are found, with what they require", function()
    local all = modules()
    assert.truthy(all["kong.vault"])
    local required = {}
    for _, other in ipairs(all["kong.vault.gateway.strategy"]) do
      required[other] = true
    end
    assert.is_true(required["kong.vault.gateway.pdk"], "a require inside a function counts")
    assert.is_true(required["kong.vault.option_text"])
  end)

  it("require nothing of gateway/ from the core", function()
    local checked = 0
    for name, required in pairs(modules()) do
      local is_core = name == "kong.vault" or name:find "^kong%.vault%." and not name:find "^kong%.vault%.gateway%."
      if is_core then
        checked = checked + 1
        for _, other in ipairs(required) do
          assert.is_nil(other:find "^kong%.vault%.gateway", name .. " requires " .. other)
        end
      end
    end
    assert.is_true(checked > 10)
  end)

  it("require each other in no circle", function()
    assert.is_nil(first_circle(modules()))
  end)

  it("name no file or folder of the library that is not there", function()
    local paths = named_paths()
    assert.is_true(#paths > 0)
    for _, path in ipairs(paths) do
      -- Opening a folder for reading succeeds as well.
      local file = io.open(path.named)
      assert.truthy(file, path.file .. " names " .. path.named)
      file:close()
    end
  end)

  it("have a circle found where there is one", function()
    assert.equal("a > b > a", circle({ a = { "b" }, b = { "c", "a" }, c = {} }, "a", {}, {}))
    assert.is_nil(first_circle({ a = { "b", "c" }, b = { "c" }, c = {} }))
  end)
end)
