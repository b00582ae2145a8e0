-- Refusals in the log, former passwords.

ALTER TABLE users ADD COLUMN password_history BLOB;

ALTER TABLE logs ADD COLUMN count INTEGER NOT NULL DEFAULT 0;

ALTER TABLE logs ADD COLUMN reason TEXT NOT NULL DEFAULT '';
