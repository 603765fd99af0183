-- A promise: a run's estimate is held in every budget of every scope, or in none. (promises.lua
-- stands before this text.)
--
-- KEYS  1 promise   2 promises, by when they lapse
-- ARGV  1 key prefix   2 name   3 ms until it lapses
--       4 JSON of [[step, calls, units of all of them, prices, JSON of [units of one, prices]]]
--       5.. per scope as in admit.lua
-- Reply {verdict, now ms, full, used...}: `full` are budgets without room, as [number, amount]; a
--       refusal changes no key. What was promised before under this name is promised.

local prefix, name, steps = ARGV[1], ARGV[2], cjson.decode(ARGV[4])
local time = redis.call('TIME')
local now_s = tonumber(time[1])
local now = now_s * 1000 + math.floor(tonumber(time[2]) / 1000)

if redis.call('EXISTS', KEYS[1]) == 1 then return {'promised', now, {}} end

for _, step in ipairs(steps) do step.amount_of = metered(step[3], step[4]) end

local function asked(meter)
  local sum = 0
  for _, step in ipairs(steps) do
    sum = sum + (meter == 'requests' and step[2] or step.amount_of(meter))
  end
  return sum
end

local reply, full, charges, counting = {'promised', now, {}}, {}, {}, {}
for a = 5, #ARGV, 2 do
  local key = prefix .. ':window:' .. ARGV[a]
  for _, window in ipairs(cjson.decode(ARGV[a + 1])) do
    local field, span, limit, meter, watched, budget = unpack(window)
    local stored = redis.call('HMGET', key, field, field .. ':used')
    local count, bucket = counted(stored[1], stored[2], span, now_s)
    reply[#reply + 1] = count
    if budget == 1 then
      local amount = asked(meter)
      if watched ~= 1 and amount > 0 and count + amount > limit then
        full[#full + 1] = {#reply - 3, amount}
      end
      charges[#charges + 1] = {key, field, bucket, amount, meter, span}
      counting[key] = true
    end
  end
end
if #full > 0 then
  reply[1], reply[3] = 'refused', full
  return reply
end

for _, charge in ipairs(charges) do shift(charge, charge[4], now_s) end
for key in pairs(counting) do -- as in admit.lua
  redis.call('ZADD', prefix .. ':windows', 'NX', now + WINDOW_KEPT_MS, key)
  redis.call('PERSIST', key)
end
redis.call('HSET', KEYS[1], 'charges', cmsgpack.pack(charges))
for _, step in ipairs(steps) do
  redis.call('HSET', KEYS[1], 'calls:' .. step[1], step[2], 'part:' .. step[1], step[5])
end
redis.call('ZADD', KEYS[2], now + tonumber(ARGV[3]), name)
return reply
