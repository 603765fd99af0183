-- Prepended to settle.lua and sweep.lua: ends one reservation, exactly once.

-- Replaces the reserved amounts by the actual ones.
-- Unused units go back only to the bucket that they were taken from, and only while it is still
-- current: a refund must not make room in a later span. Work beyond the estimate is charged to
-- the current bucket, whichever it is, so that it is counted once somewhere.
local function correct(charges, tokens, refund_request, now_s)
  for _, charge in ipairs(charges) do
    local key, field, bucket, reserved, is_request = unpack(charge)
    local actual = is_request == 1 and (refund_request and 0 or 1) or tokens
    local difference = actual - reserved
    if difference ~= 0 then
      local seconds = tonumber(string.match(field, ':(%d+)$'))
      local current = math.floor(now_s / seconds)
      local stored = redis.call('HMGET', key, field, field .. ':used')
      local count = tonumber(stored[1]) == current and tonumber(stored[2]) or 0
      if difference > 0 or bucket == current then
        redis.call('HSET', key, field, string.format('%.0f', current), field .. ':used',
          string.format('%.0f', math.max(0, count + difference)))
      end
    end
  end
end

-- Ends the reservation of `id`; returns its facts, or nil when it was ended before.
local function release(reservation_key, leases, id, tokens_of, refund_request, now_s)
  local names = {'tenant', 'cache_key', 'flight', 'admitted_at', 'charges', 'record', 'so_far',
    'so_far_tokens'}
  local stored = redis.call('HMGET', reservation_key, unpack(names))
  redis.call('ZREM', leases, id)
  if not stored[5] then return nil end
  local facts = {}
  for i, name in ipairs(names) do facts[name] = stored[i] end
  correct(cmsgpack.unpack(facts.charges), tokens_of(facts), refund_request, now_s)
  redis.call('DEL', reservation_key)
  if facts.flight ~= '' and redis.call('GET', facts.flight) == id then
    redis.call('DEL', facts.flight)
  end
  return facts
end

local time = redis.call('TIME')
local now_s = tonumber(time[1])
local now = now_s * 1000 + math.floor(tonumber(time[2]) / 1000)
