-- Second factors.

ALTER TABLE users ADD COLUMN totp INTEGER NOT NULL DEFAULT 0;

ALTER TABLE users ADD COLUMN recovered INTEGER NOT NULL DEFAULT 0;

CREATE TABLE authenticators (
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
	FOREIGN KEY (user_id) REFERENCES users (id)
);

CREATE UNIQUE INDEX authenticators_user ON authenticators (user_id, kind);

CREATE TABLE challenges (
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
	FOREIGN KEY (user_id) REFERENCES users (id)
);

CREATE UNIQUE INDEX challenges_session ON challenges (session_id, factor);

CREATE INDEX challenges_user ON challenges (user_id, id);

CREATE INDEX challenges_expire ON challenges (expire, id);

CREATE TABLE recovery_codes (
	id TEXT NOT NULL,
	user_id TEXT NOT NULL,
	digest BLOB NOT NULL,
	sealed BLOB,
	created INTEGER NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY (user_id) REFERENCES users (id)
);

CREATE INDEX recovery_codes_user ON recovery_codes (user_id, id);
