-- +goose Up
-- Which database this is (P18). A promoted standby, a restored dump and a copy
-- say something else about themselves than what was stored here before.
CREATE TABLE lineage (
  id       BIGINT NOT NULL PRIMARY KEY CONSTRAINT lineage_is_one_row CHECK (id = 1),
  identity TEXT   NOT NULL CONSTRAINT lineage_identity_bounded CHECK (length(identity) BETWEEN 1 AND 300),
  timeline BIGINT NOT NULL,
  since_at BIGINT NOT NULL
);

-- What every write that decides about money leaves behind, for an hour: a process
-- that was told that it is stored finds it again after a promotion, or knows that
-- it was lost.
CREATE TABLE mark (
  token TEXT   NOT NULL PRIMARY KEY CONSTRAINT mark_token_bounded CHECK (length(token) BETWEEN 8 AND 64),
  at    BIGINT NOT NULL
);

-- When a quarantine began, whether only a person ends it, and whose word would
-- end it at once: the holder that the lineage found when it moved.
ALTER TABLE provider ADD COLUMN quarantined_at BIGINT;
ALTER TABLE provider ADD COLUMN quarantine_held BIGINT NOT NULL DEFAULT 0
  CONSTRAINT provider_quarantine_held_is_a_bit CHECK (quarantine_held IN (0, 1));
ALTER TABLE provider ADD COLUMN quarantine_witness TEXT NOT NULL DEFAULT ''
  CONSTRAINT provider_quarantine_witness_bounded CHECK (length(quarantine_witness) <= 1000);
UPDATE provider SET quarantine_held = 1 WHERE quarantined <> '';

-- Up to when the ledger knows every purchase that the provider's books show.
ALTER TABLE provider ADD COLUMN known_at BIGINT;
UPDATE provider SET known_at = coalesce((SELECT max(s.at) FROM snapshot s WHERE s.provider = provider.id), first_seen_at);
