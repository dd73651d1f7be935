-- wrk: one request, or with BENCH_HEADS=different one whose head no server has seen before: the field BENCH_VARYING has a
-- fresh value each time.
-- With BENCH_SERVICES=N the path names one of N services in turn. The last line printed is JSON, for bench/wrk.py.
local ID, SERVICE = "bench-000000000000", "/diabetes/"

local function environment(name)
  return os.getenv("BENCH_" .. name) or ""
end

local function split(text, mark)
  local first, last = text:find(mark, 1, true)
  return text:sub(1, first - 1), text:sub(last + 1)
end

function init()
  wrk.method = environment("METHOD")
  for line in environment("FIELDS"):gmatch("[^\n]+") do
    local name, value = line:match("^([^:]+): (.*)$")
    wrk.headers[name] = value
  end
  if environment("BODY") ~= "" then
    local file = io.open(environment("BODY"), "rb")
    wrk.body = file:read("*a")
    file:close()
  end
  if environment("HEADS") == "different" then
    local services, count = tonumber(environment("SERVICES")), 0
    wrk.headers[environment("VARYING")] = ID
    local before, after = split(wrk.format(), ID)
    if services == 1 then
      request = function()
        count = count + 1
        return before .. string.format("bench-%012d", count) .. after
      end
    else
      local line, fields = split(before, SERVICE)
      request = function()
        count = count + 1
        local name = string.format("/diabetes-%d/", 1 + count % (services - 1))
        return line .. name .. fields .. string.format("bench-%012d", count) .. after
      end
    end
  end
end

function done(summary, latency)
  local errors = summary.errors
  print(string.format(
    '{"requests": %d, "seconds": %f, "bytes": %d, "refused": %d, "broken": %d, "timeouts": %d, "p50_us": %f, "p99_us": %f}',
    summary.requests, summary.duration / 1e6, summary.bytes, errors.status, errors.connect + errors.read + errors.write,
    errors.timeout, latency:percentile(50), latency:percentile(99)))
end
