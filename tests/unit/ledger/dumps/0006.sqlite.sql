BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0006');
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
	CONSTRAINT pk_certificates PRIMARY KEY (serial), 
	CONSTRAINT ck_certificates_issuer CHECK (issuer IN ('device', 'factory')), 
	CONSTRAINT ck_certificates_status CHECK (status IN ('reserved', 'active', 'revoked')), 
	CONSTRAINT ck_certificates_active_is_signed CHECK (status <> 'active' OR (der IS NOT NULL AND not_after IS NOT NULL)), 
	CONSTRAINT ck_certificates_revoked_has_time CHECK ((status = 'revoked') = (revoked_at IS NOT NULL)), 
	CONSTRAINT fk_certificates_spki_sha256_device FOREIGN KEY(spki_sha256, device) REFERENCES public_keys (spki_sha256, device), 
	CONSTRAINT fk_certificates_token_sha256_device FOREIGN KEY(token_sha256, device) REFERENCES tokens (token_sha256, device), 
	CONSTRAINT uq_certificates_token_sha256 UNIQUE (token_sha256)
);
INSERT INTO "certificates" VALUES('201cde1b75d82db5756b083e670e5283b209b11d','device','lamp-000001','accfcdd76176da2a0b73c4488ddf6537f4a1ef20e04a5cffee4fd79e46bc3107','0000000000000000000000000000000000000000000000000000000000000000','active','2026-11-22T08:30:00.000000Z','2026-11-22T08:30:00.000000Z','2027-11-22T08:30:00.000000Z',X'3082012B3081D2A0030201020214201CDE1B75D82DB5756B083E670E5283B209B11D300A06082A8648CE3D04030230163114301206035504030C0B6C616D702D303030303031301E170D3236313132323038333030305A170D3237313132323038333030305A30163114301206035504030C0B6C616D702D3030303030313059301306072A8648CE3D020106082A8648CE3D030107034200042A9029C02F96615658C01057B404A67A419D0820F9E15B941B1C744A16BC46326FCBC09E8CAE60313577EB8AC76ECCCDA15F6545A7A65AD43E58BFE83E7AFCEE300A06082A8648CE3D040302034800304502202ABD2D3BA90A66AD6CD19E8334BB8C825E72D8CB65FB60DF3C0BCB62EEE605DC0221009EB784FF3619A157352966BF112F96F5D159314207724BE6B56ED99F50693B9D',NULL,NULL);
INSERT INTO "certificates" VALUES('30ba1c4f6f2bbf3e5b8aed277444fedd769a84d5','device','lamp-000002','d99cf9785b0fa84cdc24c830596afd6667e2537723f6d4c7960fc11bd31e63f1',NULL,'revoked','2026-11-22T08:30:00.000000Z','2026-11-22T08:30:00.000000Z','2027-11-22T08:30:00.000000Z',X'3082012B3081D2A003020102021430BA1C4F6F2BBF3E5B8AED277444FEDD769A84D5300A06082A8648CE3D04030230163114301206035504030C0B6C616D702D303030303032301E170D3236313132323038333030305A170D3237313132323038333030305A30163114301206035504030C0B6C616D702D3030303030323059301306072A8648CE3D020106082A8648CE3D03010703420004F2301FFBF1304DA5709AA8B408943D0BFD6391EE6D6BCFA85B11B3B28E179414B3094B72964AD0D22EB9CF6596235A6FC30D07E8B3976FAE0E95A3C8C599B4CA300A06082A8648CE3D0403020348003045022100DF0BA1CAE6A21DB7ECAD02831FB74C7494C1503ACA0BA06DD274488DFCD4B5FA02207007336DBC2DCCB4B5510E0E912D64860C6ED59DDEF1F7906AD6635717B3D629','2026-11-22T08:30:00.000000Z','key_compromise');
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
	CONSTRAINT pk_public_keys PRIMARY KEY (spki_sha256), 
	CONSTRAINT ck_public_keys_spki_sha256 CHECK (length(spki_sha256) = 64), 
	CONSTRAINT uq_public_keys_spki_sha256_device UNIQUE (spki_sha256, device), 
	CONSTRAINT fk_public_keys_device FOREIGN KEY(device) REFERENCES devices (device)
);
INSERT INTO "public_keys" VALUES('accfcdd76176da2a0b73c4488ddf6537f4a1ef20e04a5cffee4fd79e46bc3107','lamp-000001');
INSERT INTO "public_keys" VALUES('d99cf9785b0fa84cdc24c830596afd6667e2537723f6d4c7960fc11bd31e63f1','lamp-000002');
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
CREATE INDEX ix_tokens_device ON tokens (device);
CREATE UNIQUE INDEX ix_tokens_unused ON tokens (device) WHERE state = 'unused';
CREATE UNIQUE INDEX ix_units_mac ON units (mac) WHERE state <> 'returned';
CREATE INDEX ix_units_batch_state_position ON units (batch, state, position);
CREATE INDEX ix_refused_boards_batch ON refused_boards (batch);
CREATE INDEX ix_certificates_device ON certificates (device);
CREATE INDEX ix_certificates_status ON certificates (status);
CREATE INDEX ix_burns_device ON burns (device);
COMMIT;
