-- Renewal: a long request keeps its lease and leaves word of the units it has used so far, which
-- is what it will be billed if nobody settles it. (meters.lua stands before this text.)
--
-- KEYS  1 reservation   2 leases   3 what is left of it when its lease has run out
-- ARGV  1 request id   2 lease ms   3 JSON of the units so far
-- Reply 1, or 0 when the reservation is over.

local time = redis.call('TIME')
local now_s = tonumber(time[1])
local now = now_s * 1000 + math.floor(tonumber(time[2]) / 1000)

-- Whoever was given up renews, so it lives: what it had reserved is reserved again. Not where a new span
-- has begun: there it is charged for what it really took, when it ends.
local function reserve_again()
  local charges = cmsgpack.unpack(redis.call('HGET', KEYS[3], 'charges'))
  for _, charge in ipairs(charges) do
    local key, field, bucket, guessed, _, span, reserved = unpack(charge)
    local stored = redis.call('HMGET', key, field, field .. ':used')
    local count, current = counted(stored[1], stored[2], span, now_s)
    if current - bucket < shortest(span) and reserved > guessed then
      redis.call('HSET', key, field, string.format('%.0f', current), field .. ':used',
        string.format('%.0f', count + reserved - guessed))
      charge[4] = reserved
    end
  end
  redis.call('RENAME', KEYS[3], KEYS[1])
  redis.call('HSET', KEYS[1], 'charges', cmsgpack.pack(charges))
  redis.call('PERSIST', KEYS[1])
end

if redis.call('EXISTS', KEYS[1]) == 0 then
  if redis.call('EXISTS', KEYS[3]) == 0 then return 0 end
  reserve_again()
end
redis.call('ZADD', KEYS[2], now + tonumber(ARGV[2]), ARGV[1])
redis.call('HSET', KEYS[1], 'so_far', ARGV[3])
return 1
