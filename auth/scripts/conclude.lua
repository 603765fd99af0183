-- What became of a claim: kept, renewed, or given up. Only its owner can say.
--
-- KEYS  1 entry   2.. what is remembered of calls that were charged: a kept answer stands for them
-- ARGV  1 owner   2 ms until the entry expires; 0 gives the claim up   3 what to keep or ''
-- Reply 1, or 0 when the claim is another's (it ran out meanwhile).

if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then return redis.call('DEL', KEYS[1]) end
if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[1], 'kept', ARGV[3])
  for i = 2, #KEYS do redis.call('UNLINK', KEYS[i]) end
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
