-- Replaces a text in responses as they stream; what may be the beginning of the text at a chunk's end waits for the next chunk.
-- config: { find: text, replace: text, types: [text/html] }
local config = weir.config
local find = config.find or error("config.find is missing")
local replacement = (config.replace or ""):gsub("%%", "%%%%")
local pattern = find:gsub("%p", "%%%0")

local function applies(h)
  local kind = h:headers():get("content-type") or ""
  if h:headers():get("content-encoding") then return false end
  for _, each in ipairs(config.types or {"text/html"}) do
    if kind:sub(1, #each) == each then return true end
  end
  return false
end

-- How many of the last bytes may begin the text.
local function partial(text)
  for length = math.min(#find - 1, #text), 1, -1 do
    if text:sub(-length) == find:sub(1, length) then return length end
  end
  return 0
end

function envoy_on_response(h)
  if not applies(h) then return end
  h:headers():remove("content-length")
  local rest = ""
  for chunk in h:bodyChunks() do
    local size = chunk:length()
    local text = (rest .. chunk:getBytes(0, size)):gsub(pattern, replacement)
    local keep = size > 0 and partial(text) or 0
    rest = text:sub(#text - keep + 1)
    chunk:setBytes(text:sub(1, #text - keep))
  end
end
