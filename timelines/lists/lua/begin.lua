-- Begin a rebuild: replace the list with one that holds only the placeholder, and the state with
-- one that holds this token. From now on every push lands in that list. Returns 1, or 0 while another
-- rebuild blocks it.
--
-- KEYS: the list, its state
-- ARGV: token, seconds for which the token blocks other rebuilds, seconds until both keys expire
local list, state = KEYS[1], KEYS[2]
local now = tonumber(redis.call('TIME')[1])
local is_hash = redis.call('TYPE', state).ok == 'hash'
local busy_until = tonumber(is_hash and redis.call('HGET', state, 'busy_until') or 0)
if busy_until > now then
  return 0
end
redis.call('DEL', list, state)
redis.call('RPUSH', list, '')
redis.call('HSET', state, 'token', ARGV[1], 'busy_until', now + ARGV[2], 'floor', 0)
redis.call('EXPIRE', list, ARGV[3])
redis.call('EXPIRE', state, ARGV[3])
return 1
