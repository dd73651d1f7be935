-- wrk: the two-row document with a credential. With HEADS=different every head has a request id of its own.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer " .. os.getenv("BENCH_KEY")
wrk.body = os.getenv("BENCH_BODY")
if os.getenv("BENCH_HEADS") == "different" then
  local n = 0
  request = function()
    n = n + 1
    wrk.headers["x-request-id"] = string.format("bench-%012d", n)
    return wrk.format(nil, nil)
  end
end
