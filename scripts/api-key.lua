-- Lets requests through whose API key is known. Keys are kept hashed in the data that all workers share; requests below `admin_path`
-- with the admin's secret set (PUT /PATH/OWNER, the key as the body) and revoke them (DELETE).
-- config: { header: x-api-key, admin_path: /.keys/, admin_secret: ..., ttl: seconds, keys: { KEY: OWNER } }
local config = weir.config
local header = config.header or "x-api-key"
local path = config.admin_path or "/.keys/"

local function name_of(key) return "key:" .. weir.sha256(key) end

for key, owner in pairs(config.keys or {}) do weir.shared.set(name_of(key), owner) end

local function administer(h)
  local secret, given = config.admin_secret, h:headers():get("x-admin-secret")
  if not secret or not given or not weir.equal(weir.sha256(secret), weir.sha256(given)) then
    h:respond({[":status"] = "403"}, "denied\n")
  end
  local owner, method = h:headers():get(":path"):sub(#path + 1), h:headers():get(":method")
  local body = h:body()
  local key = body and body:getBytes(0, body:length()) or ""
  if owner == "" or key == "" then h:respond({[":status"] = "400"}, "an owner and a key are needed\n") end
  if method == "PUT" then
    weir.shared.set(name_of(key), owner, config.ttl)
    h:respond({[":status"] = "201"}, "set\n")
  elseif method == "DELETE" then
    h:respond({[":status"] = weir.shared.delete(name_of(key)) and "200" or "404"}, "revoked\n")
  end
  h:respond({[":status"] = "405", allow = "PUT, DELETE"}, "no\n")
end

function envoy_on_request(h)
  if h:headers():get(":path"):sub(1, #path) == path then return administer(h) end
  local key = h:headers():get(header)
  local owner = key and weir.shared.get(name_of(key))
  if not owner then h:respond({[":status"] = "401"}, "no such key\n") end
  h:headers():remove(header)
  h:headers():replace("x-key-owner", owner)
end
