-- Asks a service about every request.
function envoy_on_request(h)
  local headers = h:httpCall("app", {[":method"] = "GET", [":path"] = "/check", [":authority"] = "auth"}, nil, 1000)
  if headers[":status"] ~= "200" then h:respond({[":status"] = "403"}, "no") end
end
