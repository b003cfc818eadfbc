"""`make up`: all parts of Twit on one machine, with Postgres and Valkey from wheels."""
