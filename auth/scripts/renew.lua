-- Renewal: a long request keeps its lease and leaves word of the units it has used so far, which
-- is what it will be billed if nobody settles it.
--
-- KEYS  1 reservation   2 leases
-- ARGV  1 request id   2 lease ms   3 JSON of the units so far
-- Reply 1, or 0 when the reservation is over.

if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('ZADD', KEYS[2], now + tonumber(ARGV[2]), ARGV[1])
redis.call('HSET', KEYS[1], 'so_far', ARGV[3])
local flight = redis.call('HGET', KEYS[1], 'flight')
if flight ~= '' and redis.call('GET', flight) == ARGV[1] then
  redis.call('PEXPIRE', flight, ARGV[2])
end
return 1
