function envoy_on_request(h)
  if h:headers():get("user") ~= "admin" then h:respond({[":status"] = "403"}, "no") end
end
