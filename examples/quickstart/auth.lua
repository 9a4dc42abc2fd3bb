-- Lets requests pass that have the header `user: admin` (the value is the entry's `config: { user: ... }`).

function envoy_on_request(handle)
  if handle:headers():get("user") ~= weir.config.user then
    handle:respond({ [":status"] = "403" }, "forbidden by auth.lua\n")
  end
end

function envoy_on_response(handle)
  handle:headers():add("x-checked-by", "auth.lua")
end
