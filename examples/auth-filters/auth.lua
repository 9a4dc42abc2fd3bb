-- The auth filter in Lua, as Envoy's scripts are written; `weir.config` is the entry's `config:`.
function envoy_on_request(handle)
  if handle:headers():get("user") ~= weir.config.user then
    handle:respond({ [":status"] = "403" }, "forbidden by auth.lua\n")
  end
end
