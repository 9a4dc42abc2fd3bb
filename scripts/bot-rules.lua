-- Refuses user agents by pattern, and more requests of one client than allowed in a window, over all workers.
-- config: { deny: [Lua patterns], requests: 100, window: seconds }
local config = weir.config
local deny = config.deny or {}
local limit, window = config.requests or 100, config.window or 60

function envoy_on_request(h)
  local agent = (h:headers():get("user-agent") or ""):lower()
  for _, pattern in ipairs(deny) do
    if agent:find(pattern) then h:respond({[":status"] = "403"}, "denied\n") end
  end
  local client = h:streamInfo():downstreamRemoteAddress():gsub(":%d+$", "")
  local count = weir.shared.incr("rate:" .. client, 1, window)
  if count > limit then
    weir.counter("rate_limited")
    h:respond({[":status"] = "429", ["retry-after"] = window}, "too many requests\n")
  end
end
