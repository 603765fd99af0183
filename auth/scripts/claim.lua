-- A claim on an idempotency key: who comes first does the work, the others learn how it ended.
--
-- KEYS  1 entry
-- ARGV  1 fingerprint of the request   2 owner   3 lease ms
-- Reply {'claimed'}, {'other'} for another request under the same key, {'running'}, or
--       {'ended', what was kept}.

local found = redis.call('HMGET', KEYS[1], 'fingerprint', 'kept')
if found[1] then
  if found[1] ~= ARGV[1] then return {'other'} end
  if found[2] then return {'ended', found[2]} end
  return {'running'}
end
redis.call('HSET', KEYS[1], 'fingerprint', ARGV[1], 'owner', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {'claimed'}
