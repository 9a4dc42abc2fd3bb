-- Hides fields of JSON responses, wherever they stand.
-- config: { fields: [password, ssn], with: "***", limit: bytes of a body that is looked at }
local config = weir.config
local with = config.with or "***"
local fields = {}
for _, name in ipairs(config.fields or {}) do fields[name] = true end

local function redact(value)
  if type(value) ~= "table" then return value end
  for key, item in pairs(value) do
    value[key] = fields[key] and with or redact(item)
  end
  return value
end

function envoy_on_response(h)
  local kind = h:headers():get("content-type") or ""
  if not kind:find("json", 1, true) then return end
  local body = h:body()
  if not body then return end
  local value, reason = weir.json.decode(body:getBytes(0, body:length()))
  if value == nil then
    -- What can't be read can't be shown to be harmless.
    h:logWarn("the response is no JSON: " .. tostring(reason))
    h:headers():replace(":status", "502")
    body:setBytes('{"error":"bad response"}')
    return
  end
  body:setBytes(weir.json.encode(redact(value)))
end
