-- Ends promises whose time is over: whoever made them is gone. (promises.lua stands before this text.)
--
-- KEYS  1 promises, by when they lapse
-- ARGV  1 key prefix   2 how many at most
-- Reply how many were ended.

local time = redis.call('TIME')
local now_s = tonumber(time[1])
local lapsed = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now_s * 1000, 'LIMIT', 0, ARGV[2])
for _, name in ipairs(lapsed) do
  unpromise(ARGV[1] .. ':promise:' .. name, KEYS[1], name, now_s)
end
return #lapsed
