-- Targets that belong to a session, the targets in the row of their user, users who may act
-- for others, lines of the log by strangers, addresses that are proven by half, what a session
-- is only taken to have proven, and which session has made a recovery code.

ALTER TABLE {s}.{p}users ADD COLUMN impersonator boolean NOT NULL DEFAULT false;

ALTER TABLE {s}.{p}users ADD COLUMN targets jsonb NOT NULL DEFAULT '[]';

ALTER TABLE {s}.{p}sessions ADD COLUMN targets boolean NOT NULL DEFAULT false;

ALTER TABLE {s}.{p}users ADD COLUMN half text COLLATE "C" NOT NULL DEFAULT '';

ALTER TABLE {s}.{p}users ADD COLUMN mfa_demanded boolean NOT NULL DEFAULT false;

ALTER TABLE {s}.{p}sessions ADD COLUMN assumed text COLLATE "C" NOT NULL DEFAULT '';

ALTER TABLE {s}.{p}recovery_codes ADD COLUMN session_id text COLLATE "C";

ALTER TABLE {s}.{p}targets ADD COLUMN session_id text COLLATE "C";

ALTER TABLE {s}.{p}logs ADD COLUMN stranger boolean NOT NULL DEFAULT false;

UPDATE {s}.{p}users AS u SET targets = t.list FROM (
	SELECT user_id, jsonb_agg(jsonb_build_object('id', id,
		'created', (extract(epoch FROM created) * 1000000)::bigint, 'updated', (extract(epoch FROM updated) * 1000000)::bigint,
		'name', name, 'provider', coalesce(provider_id, ''), 'type', provider_type, 'identifier', identifier,
		'expired', expired::int) ORDER BY created, id) AS list
	FROM {s}.{p}targets GROUP BY user_id
) AS t WHERE t.user_id = u.id;
