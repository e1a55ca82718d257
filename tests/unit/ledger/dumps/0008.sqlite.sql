BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0008');
CREATE TABLE batches (
	batch VARCHAR(63) NOT NULL, 
	created_at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_batches PRIMARY KEY (batch)
);
INSERT INTO "batches" VALUES('lamps-1','2026-11-22T08:30:00.000000Z');
CREATE TABLE burns (
	id INTEGER NOT NULL, 
	device VARCHAR(63) NOT NULL, 
	mac VARCHAR(17) NOT NULL, 
	port TEXT NOT NULL, 
	worker TEXT NOT NULL, 
	result VARCHAR(12) NOT NULL, 
	reason TEXT NOT NULL, 
	at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_burns PRIMARY KEY (id), 
	CONSTRAINT ck_burns_result CHECK (result IN ('burned', 'quarantined', 'failed', 'unseen')), 
	CONSTRAINT fk_burns_device FOREIGN KEY(device) REFERENCES units (device)
);
INSERT INTO "burns" VALUES(1,'lamp-000001','24:0a:c4:00:00:00','/dev/ttyUSB0','bench:1','burned','','2026-11-22T08:30:00.000000Z');
INSERT INTO "burns" VALUES(2,'lamp-000002','24:0a:c4:00:00:01','/dev/ttyUSB0','bench:1','burned','','2026-11-22T08:30:00.000000Z');
INSERT INTO "burns" VALUES(3,'lamp-000003','24:0a:c4:00:00:02','/dev/ttyUSB0','bench:1','quarantined','','2026-11-22T08:30:00.000000Z');
CREATE TABLE certificates (
	serial VARCHAR(40) NOT NULL, 
	issuer VARCHAR(10) NOT NULL, 
	device VARCHAR(63) NOT NULL, 
	spki_sha256 VARCHAR(64) NOT NULL, 
	token_sha256 VARCHAR(64), 
	status VARCHAR(10) NOT NULL, 
	reserved_at VARCHAR(27) NOT NULL, 
	not_before VARCHAR(27), 
	not_after VARCHAR(27), 
	der BLOB, 
	revoked_at VARCHAR(27), 
	revoke_reason VARCHAR(30), 
	predecessor VARCHAR(40), 
	confirmed_at VARCHAR(27), 
	superseded_at VARCHAR(27), 
	cloned_at VARCHAR(27), 
	CONSTRAINT pk_certificates PRIMARY KEY (serial), 
	CONSTRAINT ck_certificates_issuer CHECK (issuer IN ('device', 'factory')), 
	CONSTRAINT ck_certificates_status CHECK (status IN ('reserved', 'active', 'revoked')), 
	CONSTRAINT ck_certificates_active_is_signed CHECK (status <> 'active' OR (der IS NOT NULL AND not_after IS NOT NULL)), 
	CONSTRAINT ck_certificates_revoked_has_time CHECK ((status = 'revoked') = (revoked_at IS NOT NULL)), 
	CONSTRAINT ck_certificates_confirmed_is_signed CHECK (status <> 'reserved' OR confirmed_at IS NULL), 
	CONSTRAINT ck_certificates_superseded_was_confirmed CHECK (superseded_at IS NULL OR confirmed_at IS NOT NULL), 
	CONSTRAINT uq_certificates_serial_device UNIQUE (serial, device), 
	CONSTRAINT fk_certificates_predecessor_device FOREIGN KEY(predecessor, device) REFERENCES certificates (serial, device), 
	CONSTRAINT fk_certificates_spki_sha256_device FOREIGN KEY(spki_sha256, device) REFERENCES public_keys (spki_sha256, device), 
	CONSTRAINT fk_certificates_token_sha256_device FOREIGN KEY(token_sha256, device) REFERENCES tokens (token_sha256, device), 
	CONSTRAINT uq_certificates_token_sha256 UNIQUE (token_sha256)
);
INSERT INTO "certificates" VALUES('299fc3ad11afa8ab8c70669fc98da641ac0df572','device','lamp-000001','1f320f3ff60a16890e6feec55103265e67a442d67b503b02256b559787b1c973','0000000000000000000000000000000000000000000000000000000000000000','active','2026-11-22T08:30:00.000000Z','2026-11-22T08:30:00.000000Z','2027-11-22T08:30:00.000000Z',X'3082012B3081D2A0030201020214299FC3AD11AFA8AB8C70669FC98DA641AC0DF572300A06082A8648CE3D04030230163114301206035504030C0B6C616D702D303030303031301E170D3236313132323038333030305A170D3237313132323038333030305A30163114301206035504030C0B6C616D702D3030303030313059301306072A8648CE3D020106082A8648CE3D030107034200040778DF08354F7D1A59AD0C8AB405F612F87276B360ADC2523F8EB0D3587577893E212B31131FEBC842D05A5AEDA9E21D931A1FAA571D640704D0BFDC204A7493300A06082A8648CE3D04030203480030450221008A5F22C4BB05EFC40760DF166F689AC88DB8B9D3D562EEF2F13F95062FF9A87E02200C95274F29712C1B688AA267FB6B8A071429356D9CA8682039BCF20BBFAEA3F4',NULL,NULL,NULL,'2026-11-22T08:30:00.000000Z',NULL,NULL);
INSERT INTO "certificates" VALUES('1d97e54496a3f7218d14b6872624a2f9de56a144','device','lamp-000002','55e6eda6e2811808216c60fc2baa452f47d99972eb0176af3c92e4a40fab74d3',NULL,'revoked','2026-11-22T08:30:00.000000Z','2026-11-22T08:30:00.000000Z','2027-11-22T08:30:00.000000Z',X'3082012A3081D2A00302010202141D97E54496A3F7218D14B6872624A2F9DE56A144300A06082A8648CE3D04030230163114301206035504030C0B6C616D702D303030303032301E170D3236313132323038333030305A170D3237313132323038333030305A30163114301206035504030C0B6C616D702D3030303030323059301306072A8648CE3D020106082A8648CE3D03010703420004910B7D76BC64D60C3324598F0205EF3982F15E820A7CDD27519E11E98C841886F03C96260C8ECA43E3BB2EB6BBF24482F1AB1AB2429DFDA3CD21BEE0F3AB5420300A06082A8648CE3D04030203470030440220624B7CF6B5E70CCB79AE55E0F2398A9FED4D9D61B18F3A324BC6628A5F1DBDB002204440CE8C59605015726B238256456055FB885230EEBB8BF85B25CD2398B7BFF8','2026-11-22T08:30:00.000000Z','key_compromise',NULL,NULL,NULL,NULL);
CREATE TABLE crls (
	issuer_spki_sha256 VARCHAR(64) NOT NULL, 
	number BIGINT NOT NULL, 
	CONSTRAINT pk_crls PRIMARY KEY (issuer_spki_sha256)
);
INSERT INTO "crls" VALUES('cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc',7);
CREATE TABLE devices (
	device VARCHAR(63) NOT NULL, 
	batch VARCHAR(63) NOT NULL, 
	status VARCHAR(10) NOT NULL, 
	registered_at VARCHAR(27) NOT NULL, 
	revoked_at VARCHAR(27), 
	revoke_reason VARCHAR(30), 
	mac VARCHAR(17), 
	result VARCHAR(12), 
	result_at VARCHAR(27), 
	CONSTRAINT pk_devices PRIMARY KEY (device), 
	CONSTRAINT ck_devices_device_grammar CHECK (typeof(device) = 'text' AND device GLOB '[a-z0-9]*' AND device NOT GLOB '*[^a-z0-9-]*' AND length(device) BETWEEN 3 AND 63 AND length(device) = length(CAST(device AS BLOB))), 
	CONSTRAINT ck_devices_status CHECK (status IN ('registered', 'active', 'revoked')), 
	CONSTRAINT ck_devices_result CHECK (result IN ('burned', 'quarantined', 'returned')), 
	CONSTRAINT ck_devices_result_has_time CHECK ((result IS NULL) = (result_at IS NULL))
);
INSERT INTO "devices" VALUES('lamp-000001','lamps-1','active','2026-11-22T08:30:00.000000Z',NULL,NULL,'24:0a:c4:00:00:00','burned','2026-11-22T08:30:00.000000Z');
INSERT INTO "devices" VALUES('lamp-000002','lamps-1','revoked','2026-11-22T08:30:00.000000Z','2026-11-22T08:30:00.000000Z','key_compromise',NULL,NULL,NULL);
INSERT INTO "devices" VALUES('lamp-000005','lamps-1','registered','2026-11-22T08:30:00.000000Z',NULL,NULL,NULL,NULL,NULL);
CREATE TABLE events (
	seq INTEGER NOT NULL, 
	at VARCHAR(27) NOT NULL, 
	actor VARCHAR(63) NOT NULL, 
	kind VARCHAR(30) NOT NULL, 
	subject VARCHAR(63) NOT NULL, 
	detail TEXT NOT NULL, 
	previous VARCHAR(64) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_events PRIMARY KEY (seq), 
	CONSTRAINT uq_events_digest UNIQUE (digest)
);
INSERT INTO "events" VALUES(1,'2026-11-22T08:30:00.000000Z','anna@workshop','batch','lamps-1','{"units":6}','0000000000000000000000000000000000000000000000000000000000000000','1b86dde2453f9bad35e298d3eaffb4489358f6cb1cc16037596a62cf0f2ef18f');
INSERT INTO "events" VALUES(2,'2026-11-22T08:30:00.000000Z','anna@workshop','import','lamps-1','{"certificates":{},"tokens":{"lamp-000001":"0000000000000000000000000000000000000000000000000000000000000000"}}','1b86dde2453f9bad35e298d3eaffb4489358f6cb1cc16037596a62cf0f2ef18f','94550c5678fa5962a20e1c99d74de350509c6ef2b0be041f29afc56b2530de71');
INSERT INTO "events" VALUES(3,'2026-11-22T08:30:00.000000Z','anna@workshop','enrol','lamp-000001','{"serial":"299fc3ad11afa8ab8c70669fc98da641ac0df572","spki_sha256":"1f320f3ff60a16890e6feec55103265e67a442d67b503b02256b559787b1c973","superseded":[]}','94550c5678fa5962a20e1c99d74de350509c6ef2b0be041f29afc56b2530de71','fa9616c7ed334b9e75cd9aa594ba6b07376dc5a63e218e90c0a36ef0fa1d5d2b');
INSERT INTO "events" VALUES(4,'2026-11-22T08:30:00.000000Z','anna@workshop','confirm','lamp-000001','{"serial":"299fc3ad11afa8ab8c70669fc98da641ac0df572"}','fa9616c7ed334b9e75cd9aa594ba6b07376dc5a63e218e90c0a36ef0fa1d5d2b','ed190cafec279d9d0b23e124a32df9be1b29d2aa35475b478e511c89ef24d8cc');
INSERT INTO "events" VALUES(5,'2026-11-22T08:30:00.000000Z','anna@workshop','import','lamps-1','{"certificates":{},"tokens":{"lamp-000002":"1111111111111111111111111111111111111111111111111111111111111111"}}','ed190cafec279d9d0b23e124a32df9be1b29d2aa35475b478e511c89ef24d8cc','bc051481e5f1a5584dc34a5eed19ca45bb75729ffbca8402dd7d18218c75b288');
INSERT INTO "events" VALUES(6,'2026-11-22T08:30:00.000000Z','anna@workshop','renew','lamp-000002','{"serial":"1d97e54496a3f7218d14b6872624a2f9de56a144","spki_sha256":"55e6eda6e2811808216c60fc2baa452f47d99972eb0176af3c92e4a40fab74d3","superseded":[]}','bc051481e5f1a5584dc34a5eed19ca45bb75729ffbca8402dd7d18218c75b288','622acb7d73d8d0f1b1820fe687021df71be4e3747d1a75a6a33e5d709af45e0a');
INSERT INTO "events" VALUES(7,'2026-11-22T08:30:00.000000Z','anna@workshop','revoke','lamp-000002','{"reason":"key_compromise","serials":["1d97e54496a3f7218d14b6872624a2f9de56a144"]}','622acb7d73d8d0f1b1820fe687021df71be4e3747d1a75a6a33e5d709af45e0a','514b6a2b5fc1a544e2939eef686b316a1e22e567a626a1329a0762c036166e19');
INSERT INTO "events" VALUES(8,'2026-11-22T08:30:00.000000Z','anna@workshop','import','lamps-1','{"certificates":{},"tokens":{"lamp-000005":"2222222222222222222222222222222222222222222222222222222222222222"}}','514b6a2b5fc1a544e2939eef686b316a1e22e567a626a1329a0762c036166e19','027e505a0469b14633a843360bf3888d8016093af4f3e94365d90a92feb54f92');
INSERT INTO "events" VALUES(9,'2026-11-22T08:30:00.000000Z','migration','upgrade','ledger','{"certificates":{"1d97e54496a3f7218d14b6872624a2f9de56a144":["lamp-000002","r"],"299fc3ad11afa8ab8c70669fc98da641ac0df572":["lamp-000001","tc"]},"devices":{"lamp-000001":"active","lamp-000002":"revoked","lamp-000005":"registered"},"tokens":{"0000000000000000000000000000000000000000000000000000000000000000":["lamp-000001","used"],"1111111111111111111111111111111111111111111111111111111111111111":["lamp-000002","replaced"],"2222222222222222222222222222222222222222222222222222222222222222":["lamp-000005","unused"]}}','027e505a0469b14633a843360bf3888d8016093af4f3e94365d90a92feb54f92','e0de34a764243747cc285d9e0eae625865440d80038d011b747729d413d812bc');
CREATE TABLE public_keys (
	spki_sha256 VARCHAR(64) NOT NULL, 
	device VARCHAR(63) NOT NULL, 
	retired_at VARCHAR(27), 
	CONSTRAINT pk_public_keys PRIMARY KEY (spki_sha256), 
	CONSTRAINT ck_public_keys_spki_sha256 CHECK (length(spki_sha256) = 64), 
	CONSTRAINT uq_public_keys_spki_sha256_device UNIQUE (spki_sha256, device), 
	CONSTRAINT fk_public_keys_device FOREIGN KEY(device) REFERENCES devices (device)
);
INSERT INTO "public_keys" VALUES('1f320f3ff60a16890e6feec55103265e67a442d67b503b02256b559787b1c973','lamp-000001',NULL);
INSERT INTO "public_keys" VALUES('55e6eda6e2811808216c60fc2baa452f47d99972eb0176af3c92e4a40fab74d3','lamp-000002',NULL);
CREATE TABLE refused_boards (
	id INTEGER NOT NULL, 
	batch VARCHAR(63) NOT NULL, 
	mac VARCHAR(17), 
	port TEXT NOT NULL, 
	worker TEXT NOT NULL, 
	code VARCHAR(20) NOT NULL, 
	reason TEXT NOT NULL, 
	at VARCHAR(27) NOT NULL, 
	CONSTRAINT pk_refused_boards PRIMARY KEY (id), 
	CONSTRAINT fk_refused_boards_batch FOREIGN KEY(batch) REFERENCES batches (batch)
);
INSERT INTO "refused_boards" VALUES(1,'lamps-1',NULL,'/dev/ttyUSB0','bench:1','no-answer','no board answered','2026-11-22T08:30:00.000000Z');
CREATE TABLE settings (
	name VARCHAR(30) NOT NULL, 
	value TEXT NOT NULL, 
	CONSTRAINT pk_settings PRIMARY KEY (name)
);
INSERT INTO "settings" VALUES('site','home');
INSERT INTO "settings" VALUES('owner','factory');
INSERT INTO "settings" VALUES('schema','numbered');
CREATE TABLE tokens (
	token_sha256 VARCHAR(64) NOT NULL, 
	device VARCHAR(63) NOT NULL, 
	expires_at VARCHAR(27) NOT NULL, 
	state VARCHAR(10) NOT NULL, 
	used_at VARCHAR(27), 
	CONSTRAINT pk_tokens PRIMARY KEY (token_sha256), 
	CONSTRAINT ck_tokens_token_sha256 CHECK (length(token_sha256) = 64), 
	CONSTRAINT ck_tokens_state CHECK (state IN ('unused', 'used', 'replaced')), 
	CONSTRAINT uq_tokens_token_sha256_device UNIQUE (token_sha256, device), 
	CONSTRAINT fk_tokens_device FOREIGN KEY(device) REFERENCES devices (device)
);
INSERT INTO "tokens" VALUES('0000000000000000000000000000000000000000000000000000000000000000','lamp-000001','2027-02-20T08:30:00.000000Z','used','2026-11-22T08:30:00.000000Z');
INSERT INTO "tokens" VALUES('1111111111111111111111111111111111111111111111111111111111111111','lamp-000002','2027-02-20T08:30:00.000000Z','replaced',NULL);
INSERT INTO "tokens" VALUES('2222222222222222222222222222222222222222222222222222222222222222','lamp-000005','2027-02-20T08:30:00.000000Z','unused',NULL);
CREATE TABLE units (
	device VARCHAR(63) NOT NULL, 
	batch VARCHAR(63) NOT NULL, 
	position INTEGER NOT NULL, 
	key_origin VARCHAR(10) NOT NULL, 
	state VARCHAR(12) NOT NULL, 
	mac VARCHAR(17), 
	claimed_by TEXT, 
	port TEXT, 
	reason TEXT, 
	claimed_at VARCHAR(27), 
	finished_at VARCHAR(27), 
	registered_at VARCHAR(27), 
	product VARCHAR(100) DEFAULT '' NOT NULL, 
	hardware VARCHAR(100) DEFAULT '' NOT NULL, 
	serial VARCHAR(63) DEFAULT '' NOT NULL, 
	CONSTRAINT pk_units PRIMARY KEY (device), 
	CONSTRAINT ck_units_device_grammar CHECK (typeof(device) = 'text' AND device GLOB '[a-z0-9]*' AND device NOT GLOB '*[^a-z0-9-]*' AND length(device) BETWEEN 3 AND 63 AND length(device) = length(CAST(device AS BLOB))), 
	CONSTRAINT ck_units_key_origin CHECK (key_origin IN ('device', 'factory')), 
	CONSTRAINT ck_units_state CHECK (state IN ('planned', 'claimed', 'burned', 'quarantined', 'returned')), 
	CONSTRAINT ck_units_mac_when_claimed CHECK ((state = 'planned') = (mac IS NULL)), 
	CONSTRAINT ck_units_mac_form CHECK (mac IS NULL OR (length(mac) = 17 AND mac = lower(mac))), 
	CONSTRAINT uq_units_batch_position UNIQUE (batch, position), 
	CONSTRAINT fk_units_batch FOREIGN KEY(batch) REFERENCES batches (batch)
);
INSERT INTO "units" VALUES('lamp-000001','lamps-1',0,'device','burned','24:0a:c4:00:00:00','bench:1','/dev/ttyUSB0',NULL,'2026-11-22T08:30:00.000000Z','2026-11-22T08:30:00.000000Z','2026-11-22T08:30:00.000000Z','Lamp','B','L0');
INSERT INTO "units" VALUES('lamp-000002','lamps-1',1,'factory','burned','24:0a:c4:00:00:01','bench:1','/dev/ttyUSB0',NULL,'2026-11-22T08:30:00.000000Z','2026-11-22T08:30:00.000000Z','2026-11-22T08:30:00.000000Z','Lamp','B','L1');
INSERT INTO "units" VALUES('lamp-000003','lamps-1',2,'device','quarantined','24:0a:c4:00:00:02','bench:1','/dev/ttyUSB0','no answer','2026-11-22T08:30:00.000000Z','2026-11-22T08:30:00.000000Z','2026-11-22T08:30:00.000000Z','Lamp','B','L2');
INSERT INTO "units" VALUES('lamp-000004','lamps-1',3,'device','claimed','24:0a:c4:00:00:03','bench:1','/dev/ttyUSB0',NULL,'2026-11-22T08:30:00.000000Z',NULL,'2026-11-22T08:30:00.000000Z','Lamp','B','L3');
INSERT INTO "units" VALUES('lamp-000005','lamps-1',4,'device','planned',NULL,NULL,NULL,NULL,NULL,NULL,'2026-11-22T08:30:00.000000Z','Lamp','B','L4');
INSERT INTO "units" VALUES('lamp-000006','lamps-1',5,'device','returned','24:0a:c4:00:00:00','bench:1','/dev/ttyUSB0','no answer','2026-11-22T08:30:00.000000Z','2026-11-22T08:30:00.000000Z','2026-11-22T08:30:00.000000Z','Lamp','B','L5');
CREATE INDEX ix_devices_mac ON devices (mac);
CREATE INDEX ix_events_at ON events (at);
CREATE UNIQUE INDEX ix_tokens_unused ON tokens (device) WHERE state = 'unused';
CREATE INDEX ix_tokens_device ON tokens (device);
CREATE UNIQUE INDEX ix_units_mac ON units (mac) WHERE state <> 'returned';
CREATE INDEX ix_units_batch_state_position ON units (batch, state, position);
CREATE INDEX ix_refused_boards_batch ON refused_boards (batch);
CREATE UNIQUE INDEX ix_certificates_heir ON certificates (predecessor) WHERE confirmed_at IS NOT NULL;
CREATE UNIQUE INDEX ix_certificates_current ON certificates (device) WHERE confirmed_at IS NOT NULL AND superseded_at IS NULL AND status <> 'revoked';
CREATE UNIQUE INDEX ix_certificates_unconfirmed ON certificates (device) WHERE confirmed_at IS NULL AND status <> 'revoked';
CREATE INDEX ix_certificates_device ON certificates (device);
CREATE INDEX ix_certificates_status ON certificates (status);
CREATE INDEX ix_burns_device ON burns (device);
COMMIT;
