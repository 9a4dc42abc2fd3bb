-- Verifies `authorization: Bearer TOKEN` and checks claims; passes some of them on as headers, which a client can't set itself.
-- config: { key: secret, PEM or JWKS, issuer, audience, algorithms, leeway, require: { role: admin }, forward: { sub: x-user } }
local config = weir.config
local options = {
  issuer = config.issuer, audience = config.audience, algorithms = config.algorithms, leeway = config.leeway,
}
local required, forward = config.require or {}, config.forward or {}

local function deny(h, status, reason)
  h:logInfo("token refused: " .. reason)
  h:respond({[":status"] = status, ["www-authenticate"] = "Bearer"}, "unauthorized\n")
end

function envoy_on_request(h)
  local token = (h:headers():get("authorization") or ""):match("^[Bb]earer +(%S+)$")
  if not token then return deny(h, "401", "there is none") end
  local claims, reason = weir.jwt_verify(token, config.key, options)
  if not claims then return deny(h, "401", reason) end
  for name, value in pairs(required) do
    if claims[name] ~= value then return deny(h, "403", "claim " .. name) end
  end
  for claim, name in pairs(forward) do
    local value = claims[claim]
    h:headers():remove(name)
    if type(value) == "string" or type(value) == "number" then h:headers():add(name, value) end
  end
end
