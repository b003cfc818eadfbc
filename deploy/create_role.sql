-- Run by the image `postgres` for an empty volume. Twit's role owns its database and nothing else.
-- The superuser has no password, so it can log in only inside the container:
-- docker compose exec postgres psql -U postgres

\getenv password POSTGRES_PASSWORD
CREATE ROLE twit LOGIN PASSWORD :'password';
CREATE DATABASE twit OWNER twit;
ALTER ROLE postgres PASSWORD NULL;
