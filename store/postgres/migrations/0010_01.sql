-- An addition to version 10: programs that do not know it go on. A program that knows it lets the
-- server look for the parents of new rows when a transaction ends. Until then, the look would be in
-- conflict with all who insert near the parent.

ALTER TABLE {s}.{p}schema_version ADD COLUMN IF NOT EXISTS additions bigint NOT NULL DEFAULT 0;

DO $$
DECLARE
	c record;
BEGIN
	FOR c IN
		SELECT f.conname, t.relname
		FROM pg_constraint f JOIN pg_class t ON t.oid = f.conrelid JOIN pg_class p ON p.oid = f.confrelid
		WHERE f.contype = 'f' AND t.relnamespace = '{s}'::regnamespace AND p.relnamespace = t.relnamespace
			AND t.relname IN ({tables}) AND p.relname IN ({tables})
		ORDER BY t.relname, f.conname
	LOOP
		EXECUTE format('ALTER TABLE {s}.%I ALTER CONSTRAINT %I DEFERRABLE INITIALLY IMMEDIATE', c.relname, c.conname);
	END LOOP;
END
$$;
