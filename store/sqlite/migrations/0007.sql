-- Targets that belong to a session, the targets in the row of their user, users who may act
-- for others, lines of the log by strangers, addresses that are proven by half, what a session
-- is only taken to have proven, and which session has made a recovery code.

ALTER TABLE {p}users ADD COLUMN impersonator INTEGER NOT NULL DEFAULT 0;

ALTER TABLE {p}users ADD COLUMN targets TEXT NOT NULL DEFAULT '[]';

ALTER TABLE {p}sessions ADD COLUMN targets INTEGER NOT NULL DEFAULT 0;

ALTER TABLE {p}users ADD COLUMN half TEXT NOT NULL DEFAULT '';

ALTER TABLE {p}users ADD COLUMN mfa_demanded INTEGER NOT NULL DEFAULT 0;

ALTER TABLE {p}sessions ADD COLUMN assumed TEXT NOT NULL DEFAULT '';

ALTER TABLE {p}recovery_codes ADD COLUMN session_id TEXT;

ALTER TABLE {p}targets ADD COLUMN session_id TEXT;

ALTER TABLE {p}logs ADD COLUMN stranger INTEGER NOT NULL DEFAULT 0;

UPDATE {p}users SET targets = (
	SELECT json_group_array(json_object('id', id, 'created', created, 'updated', updated, 'name', name,
		'provider', ifnull(provider_id, ''), 'type', provider_type, 'identifier', identifier, 'expired', expired))
	FROM (SELECT * FROM {p}targets WHERE user_id = {p}users.id ORDER BY created, id)
);
