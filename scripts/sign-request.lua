-- Signs the request for the upstream: method, path, time and the digest of the body, by HMAC.
-- config: { key_id: weir, secret: ..., hash: sha256 }
local config = weir.config
local hash = config.hash or "sha256"

function envoy_on_request(h)
  local body = h:body()
  local digest = weir.sha256(body and body:getBytes(0, body:length()) or "")
  local headers = h:headers()
  local time = tostring(math.floor(h:timestamp() / 1000))
  local text = table.concat({headers:get(":method"), headers:get(":path"), time, digest}, "\n")
  headers:replace("x-signature-time", time)
  headers:replace("x-content-digest", digest)
  headers:replace("x-signature", config.key_id .. ":" .. weir.hmac(hash, config.secret, text))
end
