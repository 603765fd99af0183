-- Settlement: the actual units replace the reserved ones, the reply is cached, the event written.
-- (release.lua stands before this text.)
--
-- KEYS  1 reservation   2 leases   3 usage stream   4 what is left of it when its lease has run out
-- ARGV  1 key prefix   2 request id   3 JSON of the actual units   4 '1' to give the request back too
--       5 JSON of the settlement   6 cache body or ''   7 its media type   8 JSON of its units
--       9 cache TTL ms   10 ms for which a call that is charged once is remembered, 0 for not at all
-- Reply 1, or 0 when it was settled before (nothing changes then).

local prefix, id, units = ARGV[1], ARGV[2], cjson.decode(ARGV[3])

-- Who was thought dead, and whose work was begun again by another: that one is paid.
local function is_taken_over(facts)
  return facts.once and redis.call('HGET', prefix .. ':once:' .. facts.once, 'by') ~= id
end

local function units_of(facts) return is_taken_over(facts) and {} or units end
local refund = ARGV[4] == '1'
local facts = release(KEYS[1], KEYS[2], id, units_of, refund, now_s)
  or release(KEYS[4], KEYS[2], id, units_of, refund, now_s)
if not facts then return 0 end

if ARGV[6] ~= '' and facts.cache_key ~= '' then
  local tenant, ttl_ms = facts.tenant, tonumber(ARGV[9])
  local cleared_at = redis.call('GET', prefix .. ':cache-cleared:' .. tenant)
  -- An answer computed before the cache was cleared must not come back into it.
  if not cleared_at or tonumber(facts.admitted_at) > tonumber(cleared_at) then
    local entry = prefix .. ':cache:' .. tenant .. ':' .. facts.cache_key
    local index = prefix .. ':cache-index:' .. tenant
    redis.call('HSET', entry, 'body', ARGV[6], 'media_type', ARGV[7], 'units', ARGV[8], 'hits', 0)
    redis.call('PEXPIRE', entry, ttl_ms)
    redis.call('ZREMRANGEBYSCORE', index, '-inf', now)
    redis.call('ZADD', index, now + ttl_ms, facts.cache_key)
    redis.call('PEXPIRE', index, ttl_ms)
    redis.call('SADD', prefix .. ':cache-tenants', tenant)
    redis.call('HINCRBY', prefix .. ':cache-stats:' .. tenant, 'stored', 1)
  end
end

-- With the charge, so that nobody can die between them. A reply that is too long for the cache is not
-- kept here either; that it was charged is.
local taken_over, outcome = is_taken_over(facts), ARGV[5]
if taken_over then
  local told_of = cjson.decode(outcome)
  told_of.units = {}
  outcome = cjson.encode(told_of)
elseif facts.once and tonumber(ARGV[10]) > 0 then
  local spent = prefix .. ':once:' .. facts.once
  redis.call('HSET', spent, 'done', 1)
  if ARGV[6] ~= '' then
    redis.call('HSET', spent, 'body', ARGV[6], 'media_type', ARGV[7], 'units', ARGV[8])
  end
  redis.call('PEXPIRE', spent, ARGV[10])
elseif facts.once then
  redis.call('UNLINK', prefix .. ':once:' .. facts.once)
end

told(KEYS[3], 'settled', id, facts, now, 'settlement', outcome)
return 1
