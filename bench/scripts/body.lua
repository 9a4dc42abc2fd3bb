-- Rewrites the whole body of a request.
function envoy_on_request(h)
  local body = h:body()
  local text = body:getBytes(0, body:length())
  body:setBytes((text:gsub("xxxxxxxxxxxxxxxx", "yyyyyyyyyyyyyyyy")))
end
