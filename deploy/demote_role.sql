-- For a database of an earlier version, in which the role `twit` is Postgres's superuser. That
-- superuser becomes `postgres`, without a password. A new role `twit` gets the old password, the
-- database and what is in it. Run it as `twit`, in the database `twit`, in one transaction.

-- Nobody can rename the role under which they logged in.
CREATE ROLE renaming SUPERUSER;
SET SESSION AUTHORIZATION renaming;
ALTER ROLE twit RENAME TO postgres;
RESET SESSION AUTHORIZATION;
DROP ROLE renaming;

DO $$
DECLARE
    statement text;
BEGIN
    SELECT format('CREATE ROLE twit LOGIN PASSWORD %L', rolpassword) INTO statement
    FROM pg_authid WHERE rolname = 'postgres';
    EXECUTE statement;
    FOR statement IN
        SELECT format('ALTER TABLE %s OWNER TO twit', oid::regclass)  -- with its sequences
        FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
        UNION ALL
        SELECT format('ALTER ROUTINE %s OWNER TO twit', oid::regprocedure)
        FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    LOOP
        EXECUTE statement;
    END LOOP;
END $$;

ALTER DATABASE twit OWNER TO twit;
ALTER ROLE postgres PASSWORD NULL;
