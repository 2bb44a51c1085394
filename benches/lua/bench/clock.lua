-- Clocks that no cache stands before: wall, CPU of this thread (nginx's event loop), CPU of the whole process.

local ffi = require "ffi"

ffi.cdef [[
typedef struct { int64_t seconds; int64_t nanoseconds; } bench_timespec;
int clock_gettime(int clock, bench_timespec *time);
]]

local MONOTONIC, PROCESS_CPU, THREAD_CPU = 1, 2, 3

local time = ffi.new "bench_timespec"

local function read(clock)
  ffi.C.clock_gettime(clock, time)
  return tonumber(time.seconds) + tonumber(time.nanoseconds) * 1e-9
end

local _M = {}

function _M.wall()
  return read(MONOTONIC)
end

function _M.thread()
  return read(THREAD_CPU)
end

function _M.process()
  return read(PROCESS_CPU)
end

return _M
