-- Refusals in the log, former passwords.

ALTER TABLE {p}users ADD COLUMN password_history BLOB;

ALTER TABLE {p}logs ADD COLUMN count INTEGER NOT NULL DEFAULT 0;

ALTER TABLE {p}logs ADD COLUMN reason TEXT NOT NULL DEFAULT '';
