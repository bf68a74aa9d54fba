"""The tables of campaigns in SQLite, and the queries that find damage in them."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS campaigns (
    id INTEGER PRIMARY KEY, account INTEGER NOT NULL, definition TEXT NOT NULL,
    status TEXT NOT NULL, created_at REAL NOT NULL, starts_at REAL,
    position INTEGER NOT NULL DEFAULT 0, audience INTEGER, reachable INTEGER,
    triggers INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,
    entries INTEGER NOT NULL DEFAULT 0, exits INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS campaign_audiences (
    campaign INTEGER PRIMARY KEY, bitmap BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS campaign_triggers (
    id INTEGER PRIMARY KEY AUTOINCREMENT, campaign INTEGER NOT NULL, event INTEGER,
    action TEXT, segment INTEGER, ts REAL NOT NULL, due REAL NOT NULL, status TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, users BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS triggers_of_campaign ON campaign_triggers (campaign, id);
CREATE INDEX IF NOT EXISTS pending_triggers ON campaign_triggers (campaign, due)
    WHERE status = 'pending';
CREATE TABLE IF NOT EXISTS trigger_attempts (
    trigger_id INTEGER NOT NULL, number INTEGER NOT NULL, started REAL NOT NULL,
    ms REAL NOT NULL, status INTEGER, error TEXT,
    PRIMARY KEY (trigger_id, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS journey_users (
    campaign INTEGER NOT NULL, user INTEGER NOT NULL, is_inside INTEGER NOT NULL,
    PRIMARY KEY (campaign, user)) WITHOUT ROWID;
"""
CONTRADICTIONS = {
    "the campaigns": "SELECT 1 FROM campaigns WHERE account NOT IN (SELECT number FROM accounts) "
    "OR status NOT IN ('draft', 'scheduled', 'running', 'completed', 'stopped') "
    "OR (status IN ('scheduled', 'running') AND starts_at IS NULL) "
    "OR NOT (created_at BETWEEN 0 AND 253402214400) OR NOT (starts_at BETWEEN 0 AND 253402214400) "
    "OR typeof(position) != 'integer' OR position < 0 OR typeof(entries) != 'integer' "
    "OR typeof(exits) != 'integer'",
    "the triggers": "SELECT 1 FROM campaign_triggers "
    "WHERE campaign NOT IN (SELECT id FROM campaigns) "
    "OR status NOT IN ('pending', 'sent', 'failed', 'unreachable', 'cancelled') "
    "OR typeof(users) != 'blob' OR length(users) = 0 OR length(users) % 4 != 0 "
    "OR segment NOT IN (SELECT id FROM segments) OR action NOT IN ('ADD', 'REMOVE') "
    "OR NOT (ts BETWEEN 0 AND 253402214400) OR NOT (due BETWEEN 0 AND 253402214400)",
    "the attempts": "SELECT 1 FROM trigger_attempts "
    "WHERE trigger_id NOT IN (SELECT id FROM campaign_triggers) OR typeof(ms) != 'real' "
    "OR NOT (started BETWEEN 0 AND 253402214400) OR typeof(status) NOT IN ('integer', 'null') "
    "OR typeof(error) NOT IN ('text', 'null')",
    "the numbers of attempts": "SELECT 1 FROM campaign_triggers WHERE attempts != "
    "(SELECT count(*) FROM trigger_attempts WHERE trigger_id = campaign_triggers.id)",
    # One that is not in use may be half deleted.
    "the numbers of triggers": "SELECT 1 FROM campaigns WHERE status IN ('scheduled', 'running') "
    "AND (triggers != (SELECT count(*) FROM campaign_triggers WHERE campaign = campaigns.id) "
    "OR failed != (SELECT count(*) FROM campaign_triggers "
    "WHERE campaign = campaigns.id AND status = 'failed'))",
}
"""Queries by what they check, as in ``damage.CONTRADICTIONS``."""
LARGE_CHECKS = CONTRADICTIONS.keys() - {"the campaigns"}
