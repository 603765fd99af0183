-- Prepended to admit.lua, renew.lua and release.lua: what a request costs on each meter, and what a
-- window counts.

-- How long windows stay before the sweeper asks whether they are over.
local WINDOW_KEPT_MS = 172800000

-- Nano units of money for `units` at `prices` (pico units each), rounded up: what is charged is
-- never less than what it costs. Cached and reasoning tokens are parts of input and output tokens.
local function money_of(units, prices)
  local cached, reasoning = units.cached_tokens or 0, units.reasoning_tokens or 0
  local pico = 0
  for name, count in pairs(units) do
    if name == 'input_tokens' then count = count - cached end
    if name == 'output_tokens' then count = count - reasoning end
    pico = pico + math.max(0, count) * (prices[name] or 0)
  end
  return math.ceil(pico / 1000)
end

-- A function from a meter's name to the amount of it.
local function metered(units, prices)
  local amounts = {
    requests = 1,
    concurrency = 1,
    tokens = (units.input_tokens or 0) + (units.output_tokens or 0),
    money = prices and money_of(units, prices) or 0,
  }
  return function(meter) return amounts[meter] or units[meter] or 0 end
end

-- The second at which the span that `now_s` is in began. `span` is its length in seconds; or, where
-- a calendar decides, the seconds at which spans begin; or 0 for what is running, which has no spans.
local function bucket_of(span, now_s)
  if span == 0 then return 0 end
  if type(span) == 'number' then return math.floor(now_s / span) * span end
  local bucket = span[1]
  for _, start in ipairs(span) do
    if start <= now_s then bucket = start end
  end
  return bucket
end

-- Less than this apart, two beginnings are of one span, seen from two time zones: else another time
-- zone would open every window. A day has 22 hours at least, a month 28 days, and zones differ by 26
-- hours at most.
local function shortest(span)
  if type(span) == 'table' then return span[2] - span[1] > 172800 and 2246400 or 79200 end
  return span == 86400 and 79200 or math.max(1, span)
end

-- What a window counts now, and since when: `began` and `count` are what is stored of it.
local function counted(began, count, span, now_s)
  local bucket = bucket_of(span, now_s)
  began = tonumber(began)
  if not began or began > now_s or bucket - began >= shortest(span) then return 0, bucket end
  return tonumber(count), math.max(began, bucket)
end
