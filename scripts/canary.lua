-- Sends a share of the clients to another version: it sets a header that a route matches, and a cookie that keeps the choice.
-- config: { percent: 5, header: x-canary, cookie: canary }
local config = weir.config
local percent = config.percent or 5
local header, cookie = config.header or "x-canary", config.cookie or "canary"

local function choice_of(h)
  local cookies = "; " .. (h:headers():get("cookie") or "")
  return cookies:match("; ?" .. cookie .. "=([01])")
end

function envoy_on_request(h)
  local choice = choice_of(h)
  if not choice then
    choice = math.random() * 100 < percent and "1" or "0"
    h:streamInfo():dynamicMetadata():set("canary", "chosen", choice)
  end
  -- Nobody else may set it.
  h:headers():replace(header, choice)
end

function envoy_on_response(h)
  local chosen = h:streamInfo():dynamicMetadata():get("canary")
  if chosen then
    h:headers():add("set-cookie", cookie .. "=" .. chosen.chosen .. "; path=/; max-age=86400; httponly; samesite=lax")
  end
end
