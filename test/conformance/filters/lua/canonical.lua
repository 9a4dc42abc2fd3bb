-- The canonical conformance filters in Lua; `config: { case: NAME }` chooses one.
local cases = {}

cases["add-header"] = {
  request = function(h) h:headers():add("x-request-mark", "seen") end,
  response = function(h) h:headers():add("x-response-mark", "seen") end,
}

cases["local-reply"] = {
  request = function(h)
    if h:headers():get("user") ~= "admin" then
      h:respond({ [":status"] = "403", ["x-reason"] = "not admin" }, "denied")
    end
  end,
  response = function(h) h:headers():add("x-response-mark", "seen") end,
}

cases["pause-resume"] = {
  request = function(h)
    local headers = h:httpCall("aux", { [":method"] = "GET", [":path"] = "/check", [":authority"] = "aux" }, nil, 5000)
    h:headers():replace("x-checked", headers[":status"])
  end,
}

local function rewrite(h)
  local body = h:body()
  if body then body:setBytes(string.upper(body:getBytes(0, body:length()))) end
end
cases["rewrite-body"] = { request = rewrite, response = rewrite }

cases["trailers"] = {
  request = function(h)
    local trailers = h:trailers()
    if trailers then trailers:add("x-request-mark", "seen") end
  end,
  response = function(h)
    local trailers = h:trailers()
    if trailers then trailers:add("x-response-mark", "seen") end
  end,
}

cases["route-config"] = {
  response = function(h)
    local greeting = "none"
    for key, value in pairs(h:filterContext()) do
      if key == "greeting" then greeting = value end
    end
    h:headers():replace("x-greeting", greeting)
  end,
}

cases["throw"] = { request = function() error("thrown on purpose") end }

cases["run-away"] = { request = function() while true do pcall(function() while true do end end) end end }

local chosen = cases[weir.config and weir.config.case] or error("unknown case")
envoy_on_request = chosen.request
envoy_on_response = chosen.response
