-- Tend a list that has grown: cut it down to the cap from its tail, raise the floor to the highest
-- tweet id cut off (a late delivery can stand ahead of newer ids, so position says nothing), and
-- set a mark at its head, unless a rebuild is still to add entries. Returns how many were cut.
--
-- KEYS: the list, its state
-- ARGV: cap
local list, state = KEYS[1], KEYS[2]
local byte = string.byte
local MARK = 25 -- the first byte of a Mark
local STEP = 40 -- elements looked at in one go

-- The tweet id is the varint behind the first byte of a TweetLite; the placeholder has none.
local function tweet_id(entry)
  local id, scale = 0, 1
  for i = 2, #entry do
    local bits = byte(entry, i)
    id = id + (bits % 128) * scale
    if bits < 128 then
      break
    end
    scale = scale * 128
  end
  return id
end

-- The highest tweet id from that place in the list to its end, or a little more: a mark tells what
-- is behind it. Where doubles are not exact it is rather too high than too low.
local function highest_id(place)
  local highest, marked = 0, false
  repeat
    local elements = redis.call('LRANGE', list, place, place + STEP - 1)
    for _, element in ipairs(elements) do
      marked = byte(element) == MARK
      local id = marked and struct.unpack('<I8', element, 2) or tweet_id(element)
      if id > highest then
        highest = id
      end
      if marked then
        break
      end
    end
    place = place + STEP
  until marked or #elements < STEP
  return highest < 2 ^ 53 and highest or highest * (1 + 2 ^ -52)
end

local cap, length = tonumber(ARGV[1]), redis.call('LLEN', list)
if length > cap then
  -- From the last that is kept: where lists are tended in time, that is a mark.
  local floor = highest_id(cap - 1)
  redis.call('LTRIM', list, 0, cap - 1)
  if redis.call('EXISTS', state) == 1 and floor > tonumber(redis.call('HGET', state, 'floor')) then
    redis.call('HSET', state, 'floor', string.format('%.0f', floor))
  end
end
if redis.call('HEXISTS', state, 'version') == 1 then
  redis.call('LPUSHX', list, string.char(MARK) .. struct.pack('<I8', highest_id(0)))
end
return math.max(0, length - cap)
