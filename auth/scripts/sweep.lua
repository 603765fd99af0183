-- The sweeper: ends reservations whose lease ran out, with the units last heard of.
-- (release.lua stands before this text.)
--
-- KEYS  1 leases   2 usage stream   3 what is known of sweeps
-- ARGV  1 key prefix   2 how many at most   3 lease ms   4 ms without a sweep that are an outage
--       5 ms for which somebody may still tell what really happened
-- Reply how many leases were over, and the id and record of each request that was ended.

-- Windows that are over for longer than they lasted go, a few each time.
local function is_over(window)
  local values = redis.call('HGETALL', window)
  for i = 1, #values, 2 do
    local seconds = tonumber(values[i]:match(':(%d+)$')) -- not of a `:used`
    if seconds == 0 and tonumber(redis.call('HGET', window, values[i] .. ':used') or 0) > 0 then
      return false
    end
    if seconds and seconds > 0 and tonumber(values[i + 1]) + 2 * seconds > now_s then return false end
  end
  return true
end

local windows = ARGV[1] .. ':windows'
for _, window in ipairs(redis.call('ZRANGEBYSCORE', windows, '-inf', now, 'LIMIT', 0, 20)) do
  if is_over(window) then
    redis.call('UNLINK', window)
    redis.call('ZREM', windows, window)
  else
    redis.call('ZADD', windows, now + WINDOW_KEPT_MS, window)
  end
end

-- Who holds a lease could not renew it while the store was away. So after an outage everybody gets a
-- whole lease of time to renew or settle.
local known = redis.call('HMGET', KEYS[3], 'at', 'not_before')
redis.call('HSET', KEYS[3], 'at', now)
if known[1] and now - tonumber(known[1]) > tonumber(ARGV[4]) then
  redis.call('HSET', KEYS[3], 'not_before', now + tonumber(ARGV[3]))
  return {0}
end
if known[2] and now < tonumber(known[2]) then return {0} end

local function so_far(facts) return cjson.decode(facts.so_far or '{}') end

-- Whoever holds the lease may live, or may have told somebody who does: see settle.lua and renew.lua.
local function keep_guess(id, facts)
  local name = ARGV[1] .. ':guessed:' .. id
  redis.call('HSET', name, 'tenant', facts.tenant, 'cache_key', facts.cache_key,
    'flight', facts.flight, 'admitted_at', facts.admitted_at, 'record', facts.record,
    'charges', cmsgpack.pack(facts.charges), 'prices', facts.prices or '',
    'so_far', facts.so_far or '{}', 'guessed', '1')
  if facts.once then
    redis.call('HSET', name, 'once', facts.once)
    local mark = ARGV[1] .. ':once:' .. facts.once
    if redis.call('HGET', mark, 'by') == id then redis.call('PEXPIRE', mark, ARGV[5]) end
  end
  redis.call('PEXPIRE', name, ARGV[5])
end

local expired = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])
local reply = {#expired}
for _, id in ipairs(expired) do
  local facts = release(ARGV[1] .. ':reservation:' .. id, KEYS[1], id, so_far, false, now_s)
  if facts then
    told(KEYS[2], 'abandoned', id, facts, now, 'units', facts.so_far or '{}')
    keep_guess(id, facts)
    reply[#reply + 1], reply[#reply + 2] = id, facts.record
  end
end
return reply
