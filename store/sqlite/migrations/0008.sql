-- Teams and their members, and codes of challenges that the host brings to the user.

ALTER TABLE {p}users ADD COLUMN memberships INTEGER NOT NULL DEFAULT 0;

ALTER TABLE {p}challenges ADD COLUMN sealed BLOB;

CREATE TABLE {p}teams (
	id TEXT NOT NULL,
	key TEXT NOT NULL,
	created INTEGER NOT NULL,
	updated INTEGER NOT NULL,
	name TEXT NOT NULL,
	prefs TEXT NOT NULL,
	total INTEGER NOT NULL,
	PRIMARY KEY (id)
);

CREATE INDEX {p}teams_created ON {p}teams (created, id);

CREATE INDEX {p}teams_name ON {p}teams (name, id);

CREATE TABLE {p}memberships (
	id TEXT NOT NULL,
	team_id TEXT NOT NULL,
	user_id TEXT,
	user_key TEXT,
	subject TEXT NOT NULL,
	created INTEGER NOT NULL,
	updated INTEGER NOT NULL,
	invited INTEGER NOT NULL,
	joined INTEGER,
	confirm INTEGER NOT NULL,
	owner INTEGER NOT NULL,
	roles TEXT NOT NULL,
	address TEXT,
	name TEXT,
	invitee TEXT,
	inviter TEXT,
	inviter_key TEXT,
	digest BLOB,
	expire INTEGER,
	PRIMARY KEY (id),
	FOREIGN KEY (team_id) REFERENCES {p}teams (id),
	FOREIGN KEY (user_id) REFERENCES {p}users (id)
);

CREATE UNIQUE INDEX {p}memberships_member ON {p}memberships (team_id, user_id);

CREATE INDEX {p}memberships_member_order ON {p}memberships (team_id, user_id, id);

CREATE INDEX {p}memberships_team ON {p}memberships (team_id, created, id);

CREATE INDEX {p}memberships_owner ON {p}memberships (team_id, owner, joined, id);

CREATE INDEX {p}memberships_user ON {p}memberships (user_id, created, id);

CREATE INDEX {p}memberships_invited ON {p}memberships (address, team_id, id);

CREATE INDEX {p}memberships_open ON {p}memberships (team_id, expire, id);

CREATE INDEX {p}memberships_digest ON {p}memberships (digest, id);

CREATE INDEX {p}memberships_expire ON {p}memberships (expire, id);
