for i = 1, 3 do io = i end
for i = 3, 1, -1 do print("down", i) end
for i = 1, 0 do print("never") end
for i = 1, 2, 0.5 do print("half", i) end
for i = 10, 1 do print("never") end
for i = 1, 3 do local j = i; i = i * 10; print(i, j) end
do local t = {} for i = 1, 3 do t[i] = function() i = i + 1; return i end end print(t[1](), t[1](), t[2](), t[3]()) end
do local t = {} for _, v in ipairs({"a", "b"}) do t[#t + 1] = function() return v end end print(t[1](), t[2]()) end
do local t = {} local i = 1 while i <= 3 do local x = i t[i] = function() x = x + 10 return x end i = i + 1 end print(t[1](), t[1](), t[2](), t[3]()) end
do local t = {} local i = 0 repeat local x = i; t[#t + 1] = function() return x end; i = i + 1 until x >= 2 print(t[1](), t[2](), t[3](), #t) end
print(pcall(function() for i = "a", 2 do end end))
print(pcall(function() for i = 1, {} do end end))
print(pcall(function() for i = 1, 2, nil do end end))
for i = "1", "3" do print("coerced", i) end
local function f(...) return select("#", ...), ... end
print(f()) print(f(nil)) print(f(nil, nil)) print((f(1, 2, 3)))
local function g(a, b, ...) local c, d = ... return a, b, c, d, select("#", ...) end
print(g(1)) print(g(1, 2, 3, 4, 5))
local t = {f(1, 2), f(3)} print(#t, t[1], t[2], t[3])
local u = {f(1, 2), (f(3))} print(#u, u[2])
print((function(...) return ... end)(1, 2, 3))
print(#{(function() end)()})
local a, b, c = (function() return 1, 2 end)() print(a, b, c)
local d, e = 1 print(d, e)
local x, y, z = 1, 2, 3, 4 print(x, y, z)
a, b = b, a print(a, b)
local tab = {1, 2, 3}
local i = 1
i, tab[i] = i + 1, 20 print(i, tab[1], tab[2])
do local q = {} q.a, q.b, q.c = (function() return 1, 2, 3 end)() print(q.a, q.b, q.c) end
local s = 0
for i = 1, 10 do if i % 2 == 0 then goto continue end s = s + i ::continue:: end
print(s)
do local n = 0 ::again:: n = n + 1 if n < 5 then goto again end print(n) end
do
  local fns = {}
  local k = 1
  ::top::
  local cap = k
  fns[k] = function() cap = cap + 100 return cap end
  k = k + 1
  if k <= 3 then goto top end
  print(fns[1](), fns[1](), fns[2](), fns[3]())
end
for i = 1, 3 do for j = 1, 3 do if j == 2 then goto next_i end print(i, j) end ::next_i:: end
do goto skip local unused = 1 ::skip:: end
while true do if s then break end end
repeat local done = true until done
local function outer() local function inner() return "inner" end return inner() end print(outer())
local function count(n) if n == 0 then return 0 end return count(n - 1) end print(count(50000))
local function even(n) if n == 0 then return true end return odd(n - 1) end
function odd(n) if n == 0 then return false end return even(n - 1) end print(even(10001), even(10000))
print(pcall(function() local function deep(n) return 1 + deep(n + 1) end return deep(1) end) == false)
print(select(-1, 1, 2, 3), select(-2, 1, 2, 3)) print(pcall(select, 0)) print(select(2, "a")) print(pcall(select, -5, 1))
local obj = {n = 0} function obj:inc(k) self.n = self.n + (k or 1) return self end print(obj:inc():inc(5).n)
function obj.static(v) return v end print(obj.static "str", #obj.static {1, 2})
local nested = {a = {b = {}}} function nested.a.b.f(p) return p end print(nested.a.b.f(7)) function nested.a.b:m() return self == nested.a.b end print(nested.a.b:m())
print(type(_G), _G._G == _G, _G.print == print) zzz = 5 print(_G.zzz, rawget(_G, "zzz")) _G.yyy = 6 print(yyy)
print(#"x" + 1, -#"xx", not #"x", (("x"))) print((f(1, 2))) local vv = {n = 1, [1] = "one", "first"; "second", [3] = "third"} print(vv[1], vv[2], vv[3], vv.n)
