-- Cut a list down to the cap from its tail, and raise the floor to the highest tweet id cut off: a
-- late delivery can stand ahead of newer ids, so position says nothing. Returns how many were cut.
--
-- KEYS: the list, its state
-- ARGV: cap
local list, state = KEYS[1], KEYS[2]
local surplus = redis.call('LLEN', list) - ARGV[1]
if surplus <= 0 then
  return 0
end
local highest = 0
for _, entry in ipairs(redis.call('RPOP', list, surplus)) do
  -- The tweet id is the varint behind the first byte of a TweetLite; the placeholder has none.
  local id, scale = 0, 1
  for i = 2, #entry do
    local byte = string.byte(entry, i)
    id = id + (byte % 128) * scale
    if byte < 128 then
      break
    end
    scale = scale * 128
  end
  highest = math.max(highest, id)
end
if highest >= 2 ^ 53 then
  highest = highest * (1 + 2 ^ -52) -- doubles are not exact up there: rather too high than too low
end
if redis.call('EXISTS', state) == 1 and highest > tonumber(redis.call('HGET', state, 'floor')) then
  redis.call('HSET', state, 'floor', string.format('%.0f', highest))
end
return surplus
