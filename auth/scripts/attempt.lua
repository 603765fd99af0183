-- An attempt: counted in a window that begins with its first one.
--
-- KEYS  1 counter   2 all counters, by the end of their window
-- ARGV  1 window ms   2 how many more; 0 or fewer begin no window
-- Reply {how many there were, ms until the window ends}.
--
-- Counters have no expiry, for what has one can be evicted: whoever fills the store must not get new
-- tries by that. Each attempt removes some that are over.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local over = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 10)
for _, name in ipairs(over) do
  redis.call('ZREM', KEYS[2], name)
  redis.call('UNLINK', name)
end

local ends = tonumber(redis.call('ZSCORE', KEYS[2], KEYS[1]) or 0)
if ends <= now then
  if tonumber(ARGV[2]) <= 0 then return {0, 0} end
  ends = now + ARGV[1]
  redis.call('SET', KEYS[1], 0)
  redis.call('ZADD', KEYS[2], ends, KEYS[1])
end
return {redis.call('INCRBY', KEYS[1], ARGV[2]), ends - now}
