-- Finish a rebuild: append its entries after what was pushed since it began, and store the version
-- and the generation.
-- Returns 1, or 0 without writing anything if the rebuild lost its token or its list.
--
-- KEYS: the list, its state
-- ARGV: token; the follows_version, the generation and the floor that were read; entries newest
--       first with marks among them
local list, state = KEYS[1], KEYS[2]
if redis.call('HGET', state, 'token') ~= ARGV[1] then
  return 0
end
if redis.call('EXISTS', list) == 0 then
  return 0
end
if #ARGV > 4 then
  redis.call('RPUSH', list, unpack(ARGV, 5))
end
-- A cut since the rebuild began may have raised the floor above the one that was read.
if tonumber(ARGV[4]) > tonumber(redis.call('HGET', state, 'floor')) then
  redis.call('HSET', state, 'floor', ARGV[4])
end
redis.call('HSET', state, 'version', ARGV[2], 'generation', ARGV[3])
redis.call('HDEL', state, 'token', 'busy_until')
return 1
