-- The sweeper: ends reservations whose lease ran out, with the units last heard of.
-- (release.lua stands before this text.)
--
-- KEYS  1 leases   2 usage stream
-- ARGV  1 key prefix   2 how many at most
-- Reply how many were ended.

local function so_far(facts) return cjson.decode(facts.so_far or '{}') end

local expired = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])
for _, id in ipairs(expired) do
  local facts = release(ARGV[1] .. ':reservation:' .. id, KEYS[1], id, so_far, false, now_s)
  if facts then
    redis.call('XADD', KEYS[2], '*', 'event', 'abandoned', 'id', id, 'at', now,
      'admitted_at', facts.admitted_at, 'record', facts.record, 'money', facts.money,
      'units', facts.so_far or '{}')
  end
end
return #expired
