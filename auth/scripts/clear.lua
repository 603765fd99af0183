-- Clearing a tenant's response cache, a bounded number of entries per call.
--
-- KEYS  1 index   2 time of the last clearing
-- ARGV  1 prefix of the entries   2 how many at most   3 how long a request may run, ms
-- Reply how many entries were removed; call again until 0.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('SET', KEYS[2], now, 'PX', ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local names = redis.call('ZRANGE', KEYS[1], 0, tonumber(ARGV[2]) - 1)
for _, name in ipairs(names) do
  redis.call('UNLINK', ARGV[1] .. name)
  redis.call('ZREM', KEYS[1], name)
end
return #names
