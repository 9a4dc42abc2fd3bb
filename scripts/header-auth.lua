-- Lets requests through whose header has a given value.
-- config: { header: user, value: admin, status: 403 }
local header = weir.config.header or "user"
local value = weir.config.value or error("config.value is missing")
local status = tostring(weir.config.status or 403)

function envoy_on_request(h)
  local given = h:headers():get(header)
  -- In a time that does not tell how much of the value was right.
  if not given or not weir.equal(weir.sha256(given), weir.sha256(value)) then
    h:respond({[":status"] = status}, "denied\n")
  end
end
