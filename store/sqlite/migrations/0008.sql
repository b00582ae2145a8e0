-- Teams and their members, and codes of challenges that the host brings to the user.

ALTER TABLE users ADD COLUMN memberships INTEGER NOT NULL DEFAULT 0;

ALTER TABLE challenges ADD COLUMN sealed BLOB;

CREATE TABLE teams (
	id TEXT NOT NULL,
	key TEXT NOT NULL,
	created INTEGER NOT NULL,
	updated INTEGER NOT NULL,
	name TEXT NOT NULL,
	prefs TEXT NOT NULL,
	total INTEGER NOT NULL,
	PRIMARY KEY (id)
);

CREATE INDEX teams_created ON teams (created, id);

CREATE INDEX teams_name ON teams (name, id);

CREATE TABLE memberships (
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
	FOREIGN KEY (team_id) REFERENCES teams (id),
	FOREIGN KEY (user_id) REFERENCES users (id)
);

CREATE UNIQUE INDEX memberships_member ON memberships (team_id, user_id);

CREATE INDEX memberships_member_order ON memberships (team_id, user_id, id);

CREATE INDEX memberships_team ON memberships (team_id, created, id);

CREATE INDEX memberships_owner ON memberships (team_id, owner, joined, id);

CREATE INDEX memberships_user ON memberships (user_id, created, id);

CREATE INDEX memberships_invited ON memberships (address, team_id, id);

CREATE INDEX memberships_open ON memberships (team_id, expire, id);

CREATE INDEX memberships_digest ON memberships (digest, id);

CREATE INDEX memberships_expire ON memberships (expire, id);
