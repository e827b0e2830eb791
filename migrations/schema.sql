-- What the migrations make, for reading. Written by `UPDATE_SCHEMA=1 cargo test -p weir-migrations`.

CREATE TABLE attempt (
  run        INTEGER NOT NULL,
  task       INTEGER NOT NULL CHECK (task >= 0),
  number     INTEGER NOT NULL CHECK (number > 0),
  state      INTEGER NOT NULL CHECK (state BETWEEN 3 AND 18),
  started_at INTEGER NOT NULL,
  ended_at   INTEGER,
  exit_code  INTEGER,
  signal     INTEGER,
  class      INTEGER CHECK (class BETWEEN 1 AND 255),
  message    TEXT,
  handle     TEXT,
  PRIMARY KEY (run, task, number),
  CHECK ((state >= 10) = (ended_at IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
  id     INTEGER PRIMARY KEY,
  at     INTEGER NOT NULL,
  "by"   TEXT NOT NULL,
  origin TEXT NOT NULL,
  what   TEXT NOT NULL CHECK (what <> ''),
  target TEXT NOT NULL,
  before TEXT,
  after  TEXT
) STRICT;

CREATE TABLE blob (
  hash    TEXT PRIMARY KEY CHECK (length(hash) = 64),
  content BLOB NOT NULL
) STRICT;

CREATE TABLE block (
  run    INTEGER NOT NULL REFERENCES run (id),
  first  INTEGER NOT NULL CHECK (first > owner),
  owner  INTEGER NOT NULL CHECK (owner >= 0),
  scope  INTEGER NOT NULL CHECK (scope >= 0),
  count  INTEGER NOT NULL CHECK (count >= 0),
  remedy INTEGER CHECK (remedy >= 0),
  items  TEXT,
  PRIMARY KEY (run, first),
  CHECK ((remedy IS NULL) <> (items IS NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE diagnosis (
  run       INTEGER NOT NULL REFERENCES run (id),
  task      INTEGER NOT NULL CHECK (task >= 0),
  attempt   INTEGER NOT NULL CHECK (attempt >= 0),
  at        INTEGER NOT NULL,
  signature TEXT NOT NULL CHECK (signature <> ''),
  evidence  TEXT NOT NULL,
  "then"    TEXT NOT NULL,
  used      INTEGER NOT NULL CHECK (used IN (0, 1)),
  result    TEXT,
  PRIMARY KEY (run, task, attempt)
) STRICT, WITHOUT ROWID;

CREATE INDEX diagnosis_signature ON diagnosis (signature, run, task, attempt, result);

CREATE TABLE event (
  run     INTEGER NOT NULL REFERENCES run (id),
  seq     INTEGER NOT NULL CHECK (seq > 0),
  at      INTEGER NOT NULL,
  kind    INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 255),
  task    INTEGER CHECK (task >= 0),
  attempt INTEGER CHECK (attempt >= 0),
  "by"    TEXT,
  detail  TEXT,
  PRIMARY KEY (run, seq),
  CHECK (attempt IS NULL OR task IS NOT NULL)
) STRICT, WITHOUT ROWID;

CREATE TABLE fire (
  schedule INTEGER NOT NULL REFERENCES schedule (id),
  due_at   INTEGER NOT NULL,
  since    INTEGER NOT NULL,
  at       INTEGER NOT NULL,
  outcome  INTEGER NOT NULL CHECK (outcome BETWEEN 0 AND 2),
  run      INTEGER REFERENCES run (id),
  cause    TEXT,
  reason   TEXT,
  PRIMARY KEY (schedule, due_at),
  CHECK (since <= due_at),
  CHECK ((outcome = 0) = (run IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX fire_cause ON fire (schedule, cause) WHERE cause IS NOT NULL;

CREATE UNIQUE INDEX fire_run ON fire (run) WHERE run IS NOT NULL;

CREATE TABLE flow (
  project TEXT NOT NULL,
  flow    TEXT NOT NULL CHECK (flow <> ''),
  version TEXT NOT NULL REFERENCES version (hash),
  file    TEXT NOT NULL,
  gone    INTEGER NOT NULL CHECK (gone IN (0, 1)),
  at      INTEGER NOT NULL,
  PRIMARY KEY (project, flow)
) STRICT, WITHOUT ROWID;

CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE notice (
  run       INTEGER NOT NULL REFERENCES run (id),
  seq       INTEGER NOT NULL CHECK (seq > 0),
  reason    INTEGER NOT NULL CHECK (reason BETWEEN 0 AND 255),
  receiver  TEXT NOT NULL CHECK (receiver <> ''),
  "key"     TEXT NOT NULL,
  project   TEXT NOT NULL,
  span_ms   INTEGER NOT NULL CHECK (span_ms >= 0),
  message   TEXT NOT NULL,
  state     INTEGER NOT NULL CHECK (state BETWEEN 0 AND 2),
  tries     INTEGER NOT NULL CHECK (tries >= 0),
  at        INTEGER NOT NULL,
  due_at    INTEGER NOT NULL,
  told_at   INTEGER,
  ended_at  INTEGER,
  error     TEXT,
  PRIMARY KEY (run, seq, reason, receiver),
  CHECK ((state > 0) = (ended_at IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX notice_due ON notice (due_at) WHERE state = 0;

CREATE INDEX notice_given_up ON notice (ended_at) WHERE state = 2;

CREATE INDEX notice_given_up_list ON notice (run, seq) WHERE state = 2;

CREATE INDEX notice_told ON notice ("key", told_at) WHERE told_at IS NOT NULL;

CREATE INDEX notice_waiting ON notice ("key") WHERE state = 0;

CREATE INDEX notice_waiting_list ON notice (run, seq) WHERE state = 0;

CREATE TABLE past_cause (
  schedule INTEGER NOT NULL REFERENCES schedule (id),
  cause    TEXT NOT NULL,
  PRIMARY KEY (schedule, cause)
) STRICT, WITHOUT ROWID;

CREATE TABLE past_signature (
  signature TEXT PRIMARY KEY CHECK (signature <> ''),
  met       INTEGER NOT NULL CHECK (met >= cured + not_cured),
  cured     INTEGER NOT NULL CHECK (cured >= 0),
  not_cured INTEGER NOT NULL CHECK (not_cured >= 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE person (
  name     TEXT PRIMARY KEY CHECK (name <> ''),
  password TEXT NOT NULL,
  one_time INTEGER NOT NULL CHECK (one_time IN (0, 1)),
  at       INTEGER NOT NULL
, source TEXT NOT NULL DEFAULT '' CHECK (source IN ('', 'ldap', 'oidc')), subject TEXT NOT NULL DEFAULT '' CHECK ((subject = '') = (source = ''))) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX person_subject ON person (source, subject) WHERE source <> '';

CREATE TABLE person_role (
  person  TEXT NOT NULL REFERENCES person (name) ON DELETE CASCADE,
  project TEXT NOT NULL,
  role    INTEGER NOT NULL CHECK (role BETWEEN 1 AND 4),
  PRIMARY KEY (person, project)
) STRICT, WITHOUT ROWID;

CREATE TABLE removed_run (
  run INTEGER PRIMARY KEY CHECK (run > 0)
) STRICT;

CREATE TABLE request (
  "by"        TEXT NOT NULL,
  "key"       TEXT NOT NULL CHECK ("key" <> ''),
  fingerprint TEXT NOT NULL,
  run         INTEGER NOT NULL,
  at          INTEGER NOT NULL,
  PRIMARY KEY ("by", "key")
) STRICT, WITHOUT ROWID;

CREATE INDEX request_at ON request (at);

CREATE TABLE result (
  run     INTEGER NOT NULL REFERENCES run (id),
  task    INTEGER NOT NULL CHECK (task >= 0),
  outputs TEXT NOT NULL,
  PRIMARY KEY (run, task)
) STRICT, WITHOUT ROWID;

CREATE TABLE run (
  id         INTEGER PRIMARY KEY CHECK (id > 0),
  project    TEXT NOT NULL,
  flow       TEXT NOT NULL,
  version    TEXT NOT NULL REFERENCES version (hash),
  state      INTEGER NOT NULL CHECK (state BETWEEN 0 AND 8),
  reason     TEXT,
  paused     INTEGER NOT NULL CHECK (paused IN (0, 1)),
  origin     INTEGER CHECK (origin < id),
  parent     TEXT,
  params     TEXT NOT NULL,
  confirm    TEXT NOT NULL,
  start      TEXT NOT NULL,
  "key"      TEXT NOT NULL,
  "by"       TEXT NOT NULL,
  due_at     INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  started_at INTEGER,
  ended_at   INTEGER,
  seq        INTEGER NOT NULL CHECK (seq >= 0),
  CHECK ((state >= 6) = (ended_at IS NOT NULL))
) STRICT;

CREATE INDEX run_cancelled ON run (id) WHERE state = 8;

CREATE INDEX run_cancelled_flow ON run (flow, id) WHERE state = 8;

CREATE INDEX run_failed ON run (id) WHERE state = 7;

CREATE INDEX run_failed_flow ON run (flow, id) WHERE state = 7;

CREATE INDEX run_flow ON run (project, flow, id);

CREATE INDEX run_flow_name ON run (flow, id);

CREATE INDEX run_origin ON run (origin) WHERE origin IS NOT NULL;

CREATE UNIQUE INDEX run_parent ON run (parent) WHERE parent IS NOT NULL;

CREATE INDEX run_project ON run (project, id);

CREATE INDEX run_unfinished ON run (id) WHERE ended_at IS NULL;

CREATE TABLE schedule (
  id        INTEGER PRIMARY KEY CHECK (id > 0),
  project   TEXT NOT NULL,
  flow      TEXT NOT NULL,
  name      TEXT NOT NULL CHECK (name <> ''),
  version   TEXT NOT NULL REFERENCES version (hash),
  spec      TEXT NOT NULL,
  state     INTEGER NOT NULL CHECK (state BETWEEN 0 AND 2),
  paused_by TEXT,
  paused_at INTEGER,
  up_to     INTEGER NOT NULL,
  next_due  INTEGER,
  seq       INTEGER NOT NULL CHECK (seq > 0),
  at        INTEGER NOT NULL, own TEXT, added_by TEXT CHECK ((added_by IS NULL) = (own IS NULL)),
  UNIQUE (project, flow, name),
  CHECK ((paused_by IS NULL) = (paused_at IS NULL)),
  CHECK (next_due IS NULL OR state = 0)
) STRICT;

CREATE TABLE schedule_event (
  schedule INTEGER NOT NULL REFERENCES schedule (id),
  seq      INTEGER NOT NULL CHECK (seq > 0),
  at       INTEGER NOT NULL,
  kind     INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 255),
  "by"     TEXT,
  detail   TEXT,
  PRIMARY KEY (schedule, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE secret (
  scope  TEXT NOT NULL,
  name   TEXT NOT NULL CHECK (name <> ''),
  sealed BLOB NOT NULL,
  key_id TEXT NOT NULL,
  at     INTEGER NOT NULL,
  "by"   TEXT NOT NULL,
  PRIMARY KEY (scope, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE session (
  hash       TEXT PRIMARY KEY CHECK (length(hash) = 64),
  person     TEXT NOT NULL REFERENCES person (name) ON DELETE CASCADE,
  at         INTEGER NOT NULL,
  expires_at INTEGER NOT NULL CHECK (expires_at > at),
  origin     TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX session_expiry ON session (expires_at);

CREATE INDEX session_person ON session (person);

CREATE TABLE task (
  run     INTEGER NOT NULL,
  task    INTEGER NOT NULL CHECK (task >= 0),
  state   INTEGER NOT NULL CHECK (state BETWEEN 0 AND 18),
  cause   INTEGER NOT NULL CHECK (cause BETWEEN 0 AND 255),
  attempt INTEGER NOT NULL CHECK (attempt >= 0),
  tries   INTEGER NOT NULL CHECK (tries >= 0),
  since   INTEGER NOT NULL,
  until   INTEGER,
  extra   INTEGER NOT NULL,
  PRIMARY KEY (run, task),
  CHECK (attempt > 0 OR state NOT IN (3, 5))
) STRICT, WITHOUT ROWID;

CREATE TABLE token (
  hash       TEXT PRIMARY KEY CHECK (length(hash) = 64),
  name       TEXT NOT NULL UNIQUE CHECK (name <> ''),
  project    TEXT NOT NULL,
  role       INTEGER NOT NULL CHECK (role BETWEEN 1 AND 4),
  at         INTEGER NOT NULL,
  expires_at INTEGER,
  "by"       TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE version (
  hash    TEXT PRIMARY KEY CHECK (length(hash) = 64),
  project TEXT NOT NULL,
  flow    TEXT NOT NULL,
  texts   TEXT NOT NULL,
  at      INTEGER NOT NULL,
  seen_at INTEGER NOT NULL
) STRICT;

CREATE INDEX version_latest ON version (project, flow, seen_at);
