-- Looks at every header, makes 20 strings, sets 5 headers, and one on the response.
function envoy_on_request(h)
  local n = 0
  for name, value in pairs(h:headers()) do n = n + #name + #value end
  local s = ""
  for i = 1, 20 do s = s .. string.format("%d-%s;", i, string.upper("abc")) end
  for i = 1, 5 do h:headers():replace("x-h" .. i, tostring(n + #s)) end
end
function envoy_on_response(h)
  h:headers():replace("x-lua", "1")
end
