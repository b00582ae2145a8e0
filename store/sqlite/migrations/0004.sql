-- Second factors.

ALTER TABLE {p}users ADD COLUMN totp INTEGER NOT NULL DEFAULT 0;

ALTER TABLE {p}users ADD COLUMN recovered INTEGER NOT NULL DEFAULT 0;

CREATE TABLE {p}authenticators (
	id TEXT NOT NULL,
	user_id TEXT NOT NULL,
	kind TEXT NOT NULL,
	seed BLOB NOT NULL,
	algorithm TEXT NOT NULL,
	digits INTEGER NOT NULL,
	created INTEGER NOT NULL,
	updated INTEGER NOT NULL,
	verified INTEGER NOT NULL,
	step INTEGER NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY (user_id) REFERENCES {p}users (id)
);

CREATE UNIQUE INDEX {p}authenticators_user ON {p}authenticators (user_id, kind);

CREATE TABLE {p}challenges (
	id TEXT NOT NULL,
	user_id TEXT NOT NULL,
	session_id TEXT NOT NULL,
	factor TEXT NOT NULL,
	destination TEXT NOT NULL,
	digest BLOB,
	failures INTEGER NOT NULL,
	created INTEGER NOT NULL,
	expire INTEGER NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY (user_id) REFERENCES {p}users (id)
);

CREATE UNIQUE INDEX {p}challenges_session ON {p}challenges (session_id, factor);

CREATE INDEX {p}challenges_user ON {p}challenges (user_id, id);

CREATE INDEX {p}challenges_expire ON {p}challenges (expire, id);

CREATE TABLE {p}recovery_codes (
	id TEXT NOT NULL,
	user_id TEXT NOT NULL,
	digest BLOB NOT NULL,
	sealed BLOB,
	created INTEGER NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY (user_id) REFERENCES {p}users (id)
);

CREATE INDEX {p}recovery_codes_user ON {p}recovery_codes (user_id, id);
