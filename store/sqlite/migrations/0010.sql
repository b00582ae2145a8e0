-- Changes of addresses by proof, lengths of sessions, and passwords that are shown again.

ALTER TABLE {p}users ADD COLUMN undo INTEGER;

ALTER TABLE {p}users ADD COLUMN email_proven INTEGER;

ALTER TABLE {p}users ADD COLUMN phone_proven INTEGER;

ALTER TABLE {p}sessions ADD COLUMN length INTEGER NOT NULL DEFAULT 0;

ALTER TABLE {p}sessions ADD COLUMN confirmed INTEGER;

ALTER TABLE {p}tokens ADD COLUMN admitted INTEGER NOT NULL DEFAULT 0;

ALTER TABLE {p}tokens ADD COLUMN beside TEXT NOT NULL DEFAULT '';

ALTER TABLE {p}tokens ADD COLUMN session_length INTEGER NOT NULL DEFAULT 0;
