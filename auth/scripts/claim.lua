-- A claim on an idempotency key: who comes first does the work, the others learn how it ended.
--
-- KEYS  1 entry   2 claims that nothing came of yet, by the end of their lease
-- ARGV  1 fingerprint of the request   2 owner   3 lease ms
-- Reply {'claimed'}, {'other'} for another request under the same key, {'running'}, or
--       {'ended', what was kept}.
--
-- Claims have no expiry, for what has one can be evicted. Those of the dead are removed by others.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local found = redis.call('HMGET', KEYS[1], 'fingerprint', 'kept', 'until')
if found[1] and (found[2] or tonumber(found[3] or 0) > now) then
  if found[1] ~= ARGV[1] then return {'other'} end
  if found[2] then return {'ended', found[2]} end
  return {'running'}
end
redis.call('HSET', KEYS[1], 'fingerprint', ARGV[1], 'owner', ARGV[2], 'until', now + ARGV[3])
redis.call('PERSIST', KEYS[1])
redis.call('ZADD', KEYS[2], now + ARGV[3], KEYS[1])

-- An hour late: whoever only could not renew may still tell what became of it.
local dead = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - 3600000, 'LIMIT', 0, 10)
for _, name in ipairs(dead) do
  redis.call('ZREM', KEYS[2], name)
  redis.call('UNLINK', name)
end
return {'claimed'}
