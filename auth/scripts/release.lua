-- Prepended to settle.lua and sweep.lua: ends one reservation, exactly once. (meters.lua
-- and promises.lua stand before this text.)

-- Replaces the reserved amounts by the actual ones.
-- Unused units go back only to the bucket that they were taken from, and only while it is still
-- current: a refund must not make room in a later span. Work beyond the estimate is charged to
-- the current bucket, whichever it is, so that it is counted once somewhere.
-- Each charge then has the actual amount in place of the reserved one, and that behind it: what was
-- guessed can be corrected later.
local function correct(charges, amount_of, refund_request, now_s)
  for _, charge in ipairs(charges) do
    local key, field, bucket, reserved, meter, span = unpack(charge)
    local actual = amount_of(meter)
    if meter == 'concurrency' or meter == 'requests' and refund_request then actual = 0 end
    local difference = actual - reserved
    charge[4], charge[7] = actual, charge[7] or reserved
    if difference ~= 0 then
      local stored = redis.call('HMGET', key, field, field .. ':used')
      local count, current = counted(stored[1], stored[2], span, now_s)
      if difference > 0 or current - bucket < shortest(span) then
        redis.call('HSET', key, field, string.format('%.0f', current), field .. ':used',
          string.format('%.0f', math.max(0, count + difference)))
      end
    end
  end
end

-- Ends the reservation of `id` with the units that `units_of` finds; returns its facts, `money`
-- among them, or nil when it was ended before.
local function release(reservation_key, leases, id, units_of, refund_request, now_s)
  local names = {'tenant', 'cache_key', 'flight', 'admitted_at', 'charges', 'record', 'so_far',
    'prices', 'once', 'guessed', 'promise'}
  local stored = redis.call('HMGET', reservation_key, unpack(names))
  redis.call('ZREM', leases, id)
  if not stored[5] then return nil end
  local facts = {}
  for i, name in ipairs(names) do facts[name] = stored[i] end
  local prices = facts.prices and facts.prices ~= '' and cjson.decode(facts.prices) or nil
  local amount_of = metered(units_of(facts), prices)
  facts.money = string.format('%.0f', amount_of('money'))
  facts.charges = cmsgpack.unpack(facts.charges)
  correct(facts.charges, amount_of, refund_request, now_s)
  if facts.promise and refund_request then
    local key, step, taken = unpack(cmsgpack.unpack(facts.promise))
    restore(key, step, taken, now_s)
  end
  redis.call('DEL', reservation_key)
  if facts.flight ~= '' and redis.call('GET', facts.flight) == id then
    redis.call('DEL', facts.flight)
  end
  return facts
end

-- Writes the event of an end. What it says replaces an earlier guess in the ledger, if there was one.
local function told(usage, event, id, facts, now, name, value)
  redis.call('XADD', usage, '*', 'event', event, 'id', id, 'at', now,
    'admitted_at', facts.admitted_at, 'record', facts.record, 'money', facts.money,
    'guessed', facts.guessed or '', name, value)
end

local time = redis.call('TIME')
local now_s = tonumber(time[1])
local now = now_s * 1000 + math.floor(tonumber(time[2]) / 1000)
