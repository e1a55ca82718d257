BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0007');
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
INSERT INTO "certificates" VALUES('0693a24fcd800265ccf9d24546e29f221c1a810d','device','lamp-000001','1f3cf997f94d7435f6a36d3ec3073ea576c16778aa461424d19af7bfa481931b','0000000000000000000000000000000000000000000000000000000000000000','active','2026-11-22T08:30:00.000000Z','2026-11-22T08:30:00.000000Z','2027-11-22T08:30:00.000000Z',X'3082012C3081D2A00302010202140693A24FCD800265CCF9D24546E29F221C1A810D300A06082A8648CE3D04030230163114301206035504030C0B6C616D702D303030303031301E170D3236313132323038333030305A170D3237313132323038333030305A30163114301206035504030C0B6C616D702D3030303030313059301306072A8648CE3D020106082A8648CE3D03010703420004F5EA5862D2CB0E885D844C478B6A0436F0D1EC9E1F9F044D77E0DE31F27DA034DFBE5DF7E5E2DF1E0D89FDBBBA23A14DBFBC76BED1FF8F389D282485159F4046300A06082A8648CE3D040302034900304602210090E3F0160CE6A7985B386F99D46BD01AE85E1CB186DE2EA564C02042D2C08557022100E99DDD074C69145D5D11A947142EB69C7F8A39A2CD2F5C761C64CEC9A7716890',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "certificates" VALUES('7f0a58de584529d6b2f556059c72598ec2ff43ca','device','lamp-000002','155a4f604841bf0f7a96c27e45bf3d80d9eb9d6930a8910fdc2acfd86aec316c',NULL,'revoked','2026-11-22T08:30:00.000000Z','2026-11-22T08:30:00.000000Z','2027-11-22T08:30:00.000000Z',X'3082012B3081D2A00302010202147F0A58DE584529D6B2F556059C72598EC2FF43CA300A06082A8648CE3D04030230163114301206035504030C0B6C616D702D303030303032301E170D3236313132323038333030305A170D3237313132323038333030305A30163114301206035504030C0B6C616D702D3030303030323059301306072A8648CE3D020106082A8648CE3D030107034200044DBD392F5F9F2977E48E1C550023969B08CA55358E49455AA6E860FAD29E212549D73B4A3A2762AE7177D7B102A0E903B033077DE271CB8233337B47D23E38DE300A06082A8648CE3D0403020348003045022100CECE577BA9170996554E5E1B389A748506435969504E06ED51B603C1A1BE487A02204747DB3069509931334BA39FDD15067A4D792E73B5CA0EE7BC1E014900D0D024','2026-11-22T08:30:00.000000Z','key_compromise',NULL,NULL,NULL,NULL);
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
INSERT INTO "events" VALUES(2,'2026-11-22T08:30:00.000000Z','anna@workshop','register','lamp-000001','{"batch":"lamps-1"}','1b86dde2453f9bad35e298d3eaffb4489358f6cb1cc16037596a62cf0f2ef18f','b315e10b0d2737942fb5f6e92f8f786374cdc9500a849fe0fed53c934529f549');
INSERT INTO "events" VALUES(3,'2026-11-22T08:30:00.000000Z','anna@workshop','register','lamp-000002','{"batch":"lamps-1"}','b315e10b0d2737942fb5f6e92f8f786374cdc9500a849fe0fed53c934529f549','7b9843e7277c094c654cb60763b2363d658d72a19ff752ba702ce645b80c8795');
INSERT INTO "events" VALUES(4,'2026-11-22T08:30:00.000000Z','anna@workshop','register','lamp-000005','{"batch":"lamps-1"}','7b9843e7277c094c654cb60763b2363d658d72a19ff752ba702ce645b80c8795','7940241ec74c089782762164c1584aee5898053cc8003c8d8263cb41cf88308f');
CREATE TABLE public_keys (
	spki_sha256 VARCHAR(64) NOT NULL, 
	device VARCHAR(63) NOT NULL, 
	retired_at VARCHAR(27), 
	CONSTRAINT pk_public_keys PRIMARY KEY (spki_sha256), 
	CONSTRAINT ck_public_keys_spki_sha256 CHECK (length(spki_sha256) = 64), 
	CONSTRAINT uq_public_keys_spki_sha256_device UNIQUE (spki_sha256, device), 
	CONSTRAINT fk_public_keys_device FOREIGN KEY(device) REFERENCES devices (device)
);
INSERT INTO "public_keys" VALUES('1f3cf997f94d7435f6a36d3ec3073ea576c16778aa461424d19af7bfa481931b','lamp-000001',NULL);
INSERT INTO "public_keys" VALUES('155a4f604841bf0f7a96c27e45bf3d80d9eb9d6930a8910fdc2acfd86aec316c','lamp-000002',NULL);
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
CREATE UNIQUE INDEX ix_certificates_unconfirmed ON certificates (device) WHERE confirmed_at IS NULL AND status <> 'revoked';
CREATE INDEX ix_certificates_device ON certificates (device);
CREATE UNIQUE INDEX ix_certificates_heir ON certificates (predecessor) WHERE confirmed_at IS NOT NULL;
CREATE UNIQUE INDEX ix_certificates_current ON certificates (device) WHERE confirmed_at IS NOT NULL AND superseded_at IS NULL AND status <> 'revoked';
CREATE INDEX ix_certificates_status ON certificates (status);
CREATE INDEX ix_burns_device ON burns (device);
COMMIT;
