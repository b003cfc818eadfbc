"""Twit on one machine from wheels alone: embedded Postgres and Valkey, web, worker, scheduler."""
