-- Teams and their members, and codes of challenges that the host brings to the user.

ALTER TABLE {s}.{p}users ADD COLUMN memberships bigint NOT NULL DEFAULT 0;

ALTER TABLE {s}.{p}challenges ADD COLUMN sealed bytea;

CREATE TABLE {s}.{p}teams (
	id text COLLATE "C" NOT NULL,
	key text COLLATE "C" NOT NULL,
	created timestamptz NOT NULL,
	updated timestamptz NOT NULL,
	name text COLLATE "C" NOT NULL,
	prefs json NOT NULL,
	total bigint NOT NULL,
	PRIMARY KEY (id)
);

CREATE INDEX {p}teams_created ON {s}.{p}teams (created, id);

CREATE INDEX {p}teams_name ON {s}.{p}teams (name, id);

CREATE TABLE {s}.{p}memberships (
	id text COLLATE "C" NOT NULL,
	team_id text COLLATE "C" NOT NULL,
	user_id text COLLATE "C",
	user_key text COLLATE "C",
	subject text COLLATE "C" NOT NULL,
	created timestamptz NOT NULL,
	updated timestamptz NOT NULL,
	invited timestamptz NOT NULL,
	joined timestamptz,
	confirm boolean NOT NULL,
	owner boolean NOT NULL,
	roles jsonb NOT NULL,
	address text COLLATE "C",
	name text COLLATE "C",
	invitee text COLLATE "C",
	inviter text COLLATE "C",
	inviter_key text COLLATE "C",
	digest bytea,
	expire timestamptz,
	PRIMARY KEY (id),
	FOREIGN KEY (team_id) REFERENCES {s}.{p}teams (id),
	FOREIGN KEY (user_id) REFERENCES {s}.{p}users (id)
);

CREATE UNIQUE INDEX {p}memberships_member ON {s}.{p}memberships (team_id, user_id NULLS FIRST);

CREATE INDEX {p}memberships_member_order ON {s}.{p}memberships (team_id, user_id NULLS FIRST, id);

CREATE INDEX {p}memberships_team ON {s}.{p}memberships (team_id, created, id);

CREATE INDEX {p}memberships_owner ON {s}.{p}memberships (team_id, owner, joined NULLS FIRST, id);

CREATE INDEX {p}memberships_user ON {s}.{p}memberships (user_id NULLS FIRST, created, id);

CREATE INDEX {p}memberships_invited ON {s}.{p}memberships (address NULLS FIRST, team_id, id);

CREATE INDEX {p}memberships_open ON {s}.{p}memberships (team_id, expire NULLS FIRST, id);

CREATE INDEX {p}memberships_digest ON {s}.{p}memberships (digest NULLS FIRST, id);

CREATE INDEX {p}memberships_expire ON {s}.{p}memberships (expire NULLS FIRST, id);
