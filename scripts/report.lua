-- A busted output handler: gtest's output, and at the end the counts in the file that TALLY names, as `passed failed
-- skipped`, and the names of what failed in the file that FAILED names. Where busted dies before its end, there are no such
-- files.

return function(options)
  local busted = require "busted"
  local handler = require "busted.outputHandlers.gtest"(options)

  busted.subscribe({ "pending" }, function(element, _, message)
    io.write("skipped ", handler.getFullName(element), ": ", tostring(message or "no reason given"), "\n")
    return nil, true
  end)

  busted.subscribe({ "exit" }, function()
    local failed = assert(io.open(os.getenv "FAILED", "w"))
    for _, list in ipairs({ handler.failures, handler.errors }) do
      for _, failure in ipairs(list) do
        local trace = failure.element.trace or {}
        failed:write(("%s @ %s: %s\n"):format(trace.short_src or "?", trace.currentline or "?", failure.name))
      end
    end
    failed:close()
    local file = assert(io.open(os.getenv "TALLY", "w"))
    file:write(
      ("%d %d %d\n"):format(handler.successesCount, handler.failuresCount + handler.errorsCount, handler.pendingsCount)
    )
    file:close()
    return nil, true
  end)

  return handler
end
