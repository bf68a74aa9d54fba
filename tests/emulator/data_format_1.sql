-- Data of format 1, as the emulator saved it, with two later changes in the log alone.
BEGIN TRANSACTION;
CREATE TABLE accounts (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, passcode TEXT,
    profile_points INTEGER NOT NULL DEFAULT 0);
INSERT INTO "accounts" VALUES(1,'ACC-1',NULL,2);
INSERT INTO "accounts" VALUES(2,'ACC-2',NULL,0);
CREATE TABLE members (segment INTEGER PRIMARY KEY, bits BLOB NOT NULL);
INSERT INTO "members" VALUES(1800000000,X'B66D1B');
INSERT INTO "members" VALUES(1800000001,X'499204');
INSERT INTO "members" VALUES(1800000002,X'');
INSERT INTO "members" VALUES(1800000003,X'03');
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "meta" VALUES('checkpoint','{"event": 60, "figures": {"ACC-1": [56, 57, 285], "ACC-2": [2, 2, 10]}}');
INSERT INTO "meta" VALUES('settings','{"latency_ms": 0, "latency_jitter_ms": 0, "visibility_lag_ms": 0, "max_in_flight": 3, "get_events_in_flight": 3, "get_profile_in_flight": 3, "upload_in_flight": 15, "max_segments": 2500, "max_create_entries": 100, "max_users": 100, "max_lines": 100, "max_entries": 100, "max_upload_records": 1000, "max_body_bytes": 5242880, "max_json_depth": 32, "data_points_per_event": 5, "data_points_per_profile_field": 1, "cursor_seconds": 14400, "create_body": "either", "create_answer": "array", "create_id_field": "id", "create_id_type": "integer", "create_status": 200, "create_processing": "all_or_nothing", "duplicate_customer_id": "refuse", "duplicate_status": 409, "missing_customer_id": "refuse", "duplicate_name_in_request": "refuse", "duplicate_name_in_account": "accept", "reuse_deleted_customer_id": "refuse", "segment_cap_counts": "live", "code_100_status": 400, "limit_scope": "request", "limit_counts": "all", "both_ids": "identity", "numeric_identity": "refuse", "numeric_string_id": "accept", "noop_changes": "event", "remove_unknown_user": "ignore", "conflict_order": "as_sent", "rate_limit_body": "json", "rate_limit_retry_after": 0, "export_object_id": "absent", "unknown_accounts": "refuse", "account_regions": {}}');
CREATE TABLE profiles (
    account INTEGER NOT NULL, number INTEGER NOT NULL, identity TEXT, guid TEXT,
    reach INTEGER NOT NULL DEFAULT 0, data TEXT,
    PRIMARY KEY (account, number)) WITHOUT ROWID;
INSERT INTO "profiles" VALUES(1,0,'u0',NULL,0,NULL);
INSERT INTO "profiles" VALUES(1,1,'u1',NULL,1,'{"Email": "a@example.com"}');
INSERT INTO "profiles" VALUES(1,2,'u2',NULL,0,NULL);
INSERT INTO "profiles" VALUES(1,3,'u3',NULL,2,'{"Phone": "+1415"}');
INSERT INTO "profiles" VALUES(1,4,'u4',NULL,0,NULL);
INSERT INTO "profiles" VALUES(1,5,'u5',NULL,0,NULL);
INSERT INTO "profiles" VALUES(1,6,'u6',NULL,0,NULL);
INSERT INTO "profiles" VALUES(1,7,'u7',NULL,0,NULL);
INSERT INTO "profiles" VALUES(1,8,'u8',NULL,0,NULL);
INSERT INTO "profiles" VALUES(1,9,'u9',NULL,0,NULL);
INSERT INTO "profiles" VALUES(1,10,'u10',NULL,0,NULL);
INSERT INTO "profiles" VALUES(1,11,'u11',NULL,0,NULL);
INSERT INTO "profiles" VALUES(1,12,'u12',NULL,0,NULL);
INSERT INTO "profiles" VALUES(1,13,'u13',NULL,0,NULL);
INSERT INTO "profiles" VALUES(1,14,'u14',NULL,0,NULL);
INSERT INTO "profiles" VALUES(1,15,'u15',NULL,0,NULL);
INSERT INTO "profiles" VALUES(1,16,'u16',NULL,0,NULL);
INSERT INTO "profiles" VALUES(1,17,'u17',NULL,0,NULL);
INSERT INTO "profiles" VALUES(1,18,'u18',NULL,0,NULL);
INSERT INTO "profiles" VALUES(1,19,'u19',NULL,0,NULL);
INSERT INTO "profiles" VALUES(1,20,NULL,'g',0,NULL);
INSERT INTO "profiles" VALUES(2,0,'a',NULL,0,NULL);
INSERT INTO "profiles" VALUES(2,1,'b',NULL,0,NULL);
CREATE TABLE refusals (
    number INTEGER PRIMARY KEY, account INTEGER NOT NULL, ts REAL NOT NULL,
    type TEXT NOT NULL, segment TEXT, customer_id TEXT, users TEXT NOT NULL);
INSERT INTO "refusals" VALUES(1,1,1800000000.0,'API_SEGMENT_EMPTY_IDENTITY',NULL,'gold','[""]');
INSERT INTO "refusals" VALUES(2,1,1800000000.0,'API_SEGMENT_NOT_FOUND_OR_DELETED',NULL,'nowhere','["u1", ""]');
CREATE TABLE runs (
    seq INTEGER PRIMARY KEY, account INTEGER NOT NULL, segment INTEGER NOT NULL,
    action TEXT NOT NULL, changed INTEGER NOT NULL, events INTEGER NOT NULL,
    points INTEGER NOT NULL, ts REAL NOT NULL, users BLOB NOT NULL);
INSERT INTO "runs" VALUES(1,1,1800000000,'ADD',1,21,105,1800000000.0,X'000000000100000002000000030000000400000005000000060000000700000008000000090000000A0000000B0000000C0000000D0000000E0000000F0000001000000011000000120000001300000014000000');
INSERT INTO "runs" VALUES(22,1,1800000002,'ADD',1,21,105,1800000000.0,X'000000000100000002000000030000000400000005000000060000000700000008000000090000000A0000000B0000000C0000000D0000000E0000000F0000001000000011000000120000001300000014000000');
INSERT INTO "runs" VALUES(43,1,1800000000,'REMOVE',1,7,35,1800000000.0,X'000000000300000006000000090000000C0000000F00000012000000');
INSERT INTO "runs" VALUES(50,1,1800000001,'ADD',1,7,35,1800000000.0,X'000000000300000006000000090000000C0000000F00000012000000');
INSERT INTO "runs" VALUES(57,2,1800000003,'ADD',1,2,10,1800000000.0,X'0000000001000000');
INSERT INTO "runs" VALUES(59,1,1800000000,'ADD',0,1,5,1800000000.0,X'01000000');
INSERT INTO "runs" VALUES(60,1,1800000001,'ADD',1,1,5,1800000000.0,X'13000000');
INSERT INTO "runs" VALUES(61,1,1800000000,'REMOVE',1,1,5,1800000000.0,X'01000000');
CREATE TABLE segments (
    id INTEGER PRIMARY KEY, account INTEGER NOT NULL, customer_id TEXT, name TEXT NOT NULL,
    created_at REAL NOT NULL, deleted_at REAL);
INSERT INTO "segments" VALUES(1800000000,1,'gold','Name of gold',1800000000.0,NULL);
INSERT INTO "segments" VALUES(1800000001,1,'silver','Name of silver',1800000000.0,NULL);
INSERT INTO "segments" VALUES(1800000002,1,'gone','Name of gone',1800000000.0,1800000000.0);
INSERT INTO "segments" VALUES(1800000003,2,'gold','Name of gold',1800000000.0,NULL);
COMMIT;
