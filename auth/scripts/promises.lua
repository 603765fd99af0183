-- Prepended to admit.lua, release.lua and what makes and ends promises: what a run of several calls
-- holds of its budgets for those that it has yet to make. (meters.lua stands before this text.)
--
-- A promise is a hash. `charges`: per budget {key, field, bucket, left, meter, span};
-- `calls:<step>`: how many are to come; `part:<step>`: JSON [units, prices] of one of them.

-- Adds to what a promised window counts, while the span lasts that it was promised in.
local function shift(charge, amount, now_s)
  local key, field, bucket, _, _, span = unpack(charge)
  local stored = redis.call('HMGET', key, field, field .. ':used')
  local count, current = counted(stored[1], stored[2], span, now_s)
  if amount == 0 or current - bucket >= shortest(span) then return end
  redis.call('HSET', key, field, string.format('%.0f', current), field .. ':used',
    string.format('%.0f', math.max(0, count + amount)))
end

-- What is held for `calls` calls of a step, or for all that are to come; nil for nothing.
local function share_of(key, step, calls)
  local stored = redis.call('HMGET', key, 'charges', 'calls:' .. step, 'part:' .. step)
  local left = tonumber(stored[2] or 0)
  if not stored[1] or left < 1 then return nil end
  local charges, part = cmsgpack.unpack(stored[1]), cjson.decode(stored[3])
  local amount_of = metered(part[1], part[2])
  calls = calls or left
  local share = {key = key, step = step, calls = calls, charges = charges, taken = {}, index = {},
    seen = {}}
  for i, charge in ipairs(charges) do
    share.taken[i] = math.min(charge[4], calls * amount_of(charge[5]))
    share.index[charge[1] .. ' ' .. charge[2]] = i
  end
  return share
end

-- What of it a window counts whose span began at `bucket`. The caller leaves that out of its count.
local function held_in(share, key, field, bucket)
  local i = share.index[key .. ' ' .. field]
  if not i or bucket - share.charges[i][3] >= shortest(share.charges[i][6]) then return 0 end
  share.seen[i] = true
  return share.taken[i]
end

-- Takes it out of the promise, and out of the windows that the caller has not left it out of.
local function take(share, now_s)
  for i, charge in ipairs(share.charges) do
    if not share.seen[i] then shift(charge, -share.taken[i], now_s) end
    charge[4] = charge[4] - share.taken[i]
  end
  redis.call('HSET', share.key, 'charges', cmsgpack.pack(share.charges))
  redis.call('HINCRBY', share.key, 'calls:' .. share.step, -share.calls)
end

-- Puts back what one call took that came to nothing: it will be made again.
local function restore(key, step, taken, now_s)
  local packed = redis.call('HGET', key, 'charges')
  if not packed then return end
  local charges = cmsgpack.unpack(packed)
  for i, charge in ipairs(charges) do
    charge[4] = charge[4] + taken[i]
    shift(charge, taken[i], now_s)
  end
  redis.call('HSET', key, 'charges', cmsgpack.pack(charges))
  redis.call('HINCRBY', key, 'calls:' .. step, 1)
end

-- Ends a promise: what is left of it counts no more. Whether there was one.
local function unpromise(key, promises, name, now_s)
  local packed = redis.call('HGET', key, 'charges')
  redis.call('ZREM', promises, name)
  if not packed then return 0 end
  for _, charge in ipairs(cmsgpack.unpack(packed)) do shift(charge, -charge[4], now_s) end
  redis.call('DEL', key)
  return 1
end
