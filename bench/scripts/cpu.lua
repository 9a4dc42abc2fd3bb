-- A loop of 10,000 steps of arithmetic.
function envoy_on_request(h)
  local a = 0
  for i = 1, 10000 do a = (a * 31 + i) % 65521 end
  h:headers():replace("x-sum", tostring(a))
end
