CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.batches (
    batch character varying(63) NOT NULL,
    created_at character varying(27) NOT NULL
);
CREATE TABLE public.burns (
    id integer NOT NULL,
    device character varying(63) NOT NULL,
    mac character varying(17) NOT NULL,
    port text NOT NULL,
    worker text NOT NULL,
    result character varying(12) NOT NULL,
    reason text NOT NULL,
    at character varying(27) NOT NULL,
    CONSTRAINT ck_burns_result CHECK (((result)::text = ANY ((ARRAY['burned'::character varying, 'quarantined'::character varying, 'failed'::character varying, 'unseen'::character varying])::text[])))
);
CREATE SEQUENCE public.burns_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.burns_id_seq OWNED BY public.burns.id;
CREATE TABLE public.certificates (
    serial character varying(40) NOT NULL,
    issuer character varying(10) NOT NULL,
    device character varying(63) NOT NULL,
    spki_sha256 character varying(64) NOT NULL,
    token_sha256 character varying(64),
    status character varying(10) NOT NULL,
    reserved_at character varying(27) NOT NULL,
    not_before character varying(27),
    not_after character varying(27),
    der bytea,
    revoked_at character varying(27),
    revoke_reason character varying(30),
    predecessor character varying(40),
    confirmed_at character varying(27),
    superseded_at character varying(27),
    cloned_at character varying(27),
    CONSTRAINT ck_certificates_active_is_signed CHECK ((((status)::text <> 'active'::text) OR ((der IS NOT NULL) AND (not_after IS NOT NULL)))),
    CONSTRAINT ck_certificates_confirmed_is_signed CHECK ((((status)::text <> 'reserved'::text) OR (confirmed_at IS NULL))),
    CONSTRAINT ck_certificates_issuer CHECK (((issuer)::text = ANY ((ARRAY['device'::character varying, 'factory'::character varying])::text[]))),
    CONSTRAINT ck_certificates_revoked_has_time CHECK ((((status)::text = 'revoked'::text) = (revoked_at IS NOT NULL))),
    CONSTRAINT ck_certificates_status CHECK (((status)::text = ANY ((ARRAY['reserved'::character varying, 'active'::character varying, 'revoked'::character varying])::text[]))),
    CONSTRAINT ck_certificates_superseded_was_confirmed CHECK (((superseded_at IS NULL) OR (confirmed_at IS NOT NULL)))
);
CREATE TABLE public.crls (
    issuer_spki_sha256 character varying(64) NOT NULL,
    number bigint NOT NULL
);
CREATE TABLE public.devices (
    device character varying(63) NOT NULL,
    batch character varying(63) NOT NULL,
    status character varying(10) NOT NULL,
    registered_at character varying(27) NOT NULL,
    revoked_at character varying(27),
    revoke_reason character varying(30),
    mac character varying(17),
    result character varying(12),
    result_at character varying(27),
    CONSTRAINT ck_devices_device_grammar CHECK ((((device)::text COLLATE "C") ~ '^[a-z0-9][a-z0-9-]{2,62}$'::text)),
    CONSTRAINT ck_devices_result CHECK (((result)::text = ANY ((ARRAY['burned'::character varying, 'quarantined'::character varying, 'returned'::character varying])::text[]))),
    CONSTRAINT ck_devices_result_has_time CHECK (((result IS NULL) = (result_at IS NULL))),
    CONSTRAINT ck_devices_status CHECK (((status)::text = ANY ((ARRAY['registered'::character varying, 'active'::character varying, 'revoked'::character varying])::text[])))
);
CREATE TABLE public.events (
    seq integer NOT NULL,
    at character varying(27) NOT NULL,
    actor character varying(63) NOT NULL,
    kind character varying(30) NOT NULL,
    subject character varying(63) NOT NULL,
    detail text NOT NULL,
    previous character varying(64) NOT NULL,
    digest character varying(64) NOT NULL
);
CREATE TABLE public.public_keys (
    spki_sha256 character varying(64) NOT NULL,
    device character varying(63) NOT NULL,
    retired_at character varying(27),
    CONSTRAINT ck_public_keys_spki_sha256 CHECK ((length((spki_sha256)::text) = 64))
);
CREATE TABLE public.refused_boards (
    id integer NOT NULL,
    batch character varying(63) NOT NULL,
    mac character varying(17),
    port text NOT NULL,
    worker text NOT NULL,
    code character varying(20) NOT NULL,
    reason text NOT NULL,
    at character varying(27) NOT NULL
);
CREATE SEQUENCE public.refused_boards_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.refused_boards_id_seq OWNED BY public.refused_boards.id;
CREATE TABLE public.settings (
    name character varying(30) NOT NULL,
    value text NOT NULL
);
CREATE TABLE public.tokens (
    token_sha256 character varying(64) NOT NULL,
    device character varying(63) NOT NULL,
    expires_at character varying(27) NOT NULL,
    state character varying(10) NOT NULL,
    used_at character varying(27),
    CONSTRAINT ck_tokens_state CHECK (((state)::text = ANY ((ARRAY['unused'::character varying, 'used'::character varying, 'replaced'::character varying])::text[]))),
    CONSTRAINT ck_tokens_token_sha256 CHECK ((length((token_sha256)::text) = 64))
);
CREATE TABLE public.units (
    device character varying(63) NOT NULL,
    batch character varying(63) NOT NULL,
    "position" integer NOT NULL,
    key_origin character varying(10) NOT NULL,
    state character varying(12) NOT NULL,
    mac character varying(17),
    claimed_by text,
    port text,
    reason text,
    claimed_at character varying(27),
    finished_at character varying(27),
    registered_at character varying(27),
    product character varying(100) DEFAULT ''::character varying NOT NULL,
    hardware character varying(100) DEFAULT ''::character varying NOT NULL,
    serial character varying(63) DEFAULT ''::character varying NOT NULL,
    CONSTRAINT ck_units_device_grammar CHECK ((((device)::text COLLATE "C") ~ '^[a-z0-9][a-z0-9-]{2,62}$'::text)),
    CONSTRAINT ck_units_key_origin CHECK (((key_origin)::text = ANY ((ARRAY['device'::character varying, 'factory'::character varying])::text[]))),
    CONSTRAINT ck_units_mac_form CHECK (((mac IS NULL) OR ((length((mac)::text) = 17) AND ((mac)::text = lower((mac)::text))))),
    CONSTRAINT ck_units_mac_when_claimed CHECK ((((state)::text = 'planned'::text) = (mac IS NULL))),
    CONSTRAINT ck_units_state CHECK (((state)::text = ANY ((ARRAY['planned'::character varying, 'claimed'::character varying, 'burned'::character varying, 'quarantined'::character varying, 'returned'::character varying])::text[])))
);
ALTER TABLE ONLY public.burns ALTER COLUMN id SET DEFAULT nextval('public.burns_id_seq'::regclass);
ALTER TABLE ONLY public.refused_boards ALTER COLUMN id SET DEFAULT nextval('public.refused_boards_id_seq'::regclass);
INSERT INTO public.alembic_version VALUES ('0008');
INSERT INTO public.batches VALUES ('lamps-1', '2026-11-22T08:30:00.000000Z');
INSERT INTO public.burns VALUES (1, 'lamp-000001', '24:0a:c4:00:00:00', '/dev/ttyUSB0', 'bench:1', 'burned', '', '2026-11-22T08:30:00.000000Z');
INSERT INTO public.burns VALUES (2, 'lamp-000002', '24:0a:c4:00:00:01', '/dev/ttyUSB0', 'bench:1', 'burned', '', '2026-11-22T08:30:00.000000Z');
INSERT INTO public.burns VALUES (3, 'lamp-000003', '24:0a:c4:00:00:02', '/dev/ttyUSB0', 'bench:1', 'quarantined', '', '2026-11-22T08:30:00.000000Z');
INSERT INTO public.certificates VALUES ('6f67a15b149a33c972571f329c66622acbdbcfe6', 'device', 'lamp-000001', 'ceff39f3d0f9ba79c69e417ccce7aa3b31772542adfe578e06412ac1cfebcf28', '0000000000000000000000000000000000000000000000000000000000000000', 'active', '2026-11-22T08:30:00.000000Z', '2026-11-22T08:30:00.000000Z', '2027-11-22T08:30:00.000000Z', '\x3082012a3081d2a00302010202146f67a15b149a33c972571f329c66622acbdbcfe6300a06082a8648ce3d04030230163114301206035504030c0b6c616d702d303030303031301e170d3236313132323038333030305a170d3237313132323038333030305a30163114301206035504030c0b6c616d702d3030303030313059301306072a8648ce3d020106082a8648ce3d03010703420004274566389a568d73c765d20dbf67c2ab0d3ecfb6b71352bce8763a940c182a57bb4c2f44de1742eb9c69f2727f658cdbb9612eff10d3e0c19ea996b0cd923542300a06082a8648ce3d040302034700304402203c6a459bbfd130c2566efe5cfb9e2599ec02ac2fe27928573cf76086523c0800022077549e02f05491201fc9eae17725871bd61fee524eb67e9db8f308c91a26f5c7', NULL, NULL, NULL, '2026-11-22T08:30:00.000000Z', NULL, NULL);
INSERT INTO public.certificates VALUES ('65a71d51f93dcf3501eafa777508b99abf2ce7a8', 'device', 'lamp-000002', 'aff310e91726a835f48637aa47337a13261164acd597fb3d9138b91948adeb75', NULL, 'revoked', '2026-11-22T08:30:00.000000Z', '2026-11-22T08:30:00.000000Z', '2027-11-22T08:30:00.000000Z', '\x3082012b3081d2a003020102021465a71d51f93dcf3501eafa777508b99abf2ce7a8300a06082a8648ce3d04030230163114301206035504030c0b6c616d702d303030303032301e170d3236313132323038333030305a170d3237313132323038333030305a30163114301206035504030c0b6c616d702d3030303030323059301306072a8648ce3d020106082a8648ce3d03010703420004d5bed0cd84e1acd9ae1860aaf6f84e59c73840aeff10ed1fec6cecc7c796f3aa34d52e475404b19b6154890a972ec1cdace276bea557228bf6d5866525d1d559300a06082a8648ce3d0403020348003045022100d81d4d9066cf712354ec51808fa3184148fd36b3ada39bbf6796504523f64927022004126b41ebad0f7d50040f129d645ee27f6d40246f7176889246f28f61ee096e', '2026-11-22T08:30:00.000000Z', 'key_compromise', NULL, NULL, NULL, NULL);
INSERT INTO public.crls VALUES ('cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc', 7);
INSERT INTO public.devices VALUES ('lamp-000001', 'lamps-1', 'active', '2026-11-22T08:30:00.000000Z', NULL, NULL, '24:0a:c4:00:00:00', 'burned', '2026-11-22T08:30:00.000000Z');
INSERT INTO public.devices VALUES ('lamp-000002', 'lamps-1', 'revoked', '2026-11-22T08:30:00.000000Z', '2026-11-22T08:30:00.000000Z', 'key_compromise', NULL, NULL, NULL);
INSERT INTO public.devices VALUES ('lamp-000005', 'lamps-1', 'registered', '2026-11-22T08:30:00.000000Z', NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.events VALUES (1, '2026-11-22T08:30:00.000000Z', 'anna@workshop', 'batch', 'lamps-1', '{"units":6}', '0000000000000000000000000000000000000000000000000000000000000000', '1b86dde2453f9bad35e298d3eaffb4489358f6cb1cc16037596a62cf0f2ef18f');
INSERT INTO public.events VALUES (2, '2026-11-22T08:30:00.000000Z', 'anna@workshop', 'import', 'lamps-1', '{"certificates":{},"tokens":{"lamp-000001":"0000000000000000000000000000000000000000000000000000000000000000"}}', '1b86dde2453f9bad35e298d3eaffb4489358f6cb1cc16037596a62cf0f2ef18f', '94550c5678fa5962a20e1c99d74de350509c6ef2b0be041f29afc56b2530de71');
INSERT INTO public.events VALUES (3, '2026-11-22T08:30:00.000000Z', 'anna@workshop', 'enrol', 'lamp-000001', '{"serial":"6f67a15b149a33c972571f329c66622acbdbcfe6","spki_sha256":"ceff39f3d0f9ba79c69e417ccce7aa3b31772542adfe578e06412ac1cfebcf28","superseded":[]}', '94550c5678fa5962a20e1c99d74de350509c6ef2b0be041f29afc56b2530de71', '57f41d67e50d60f98d5f476dfb82450c17146a6524dbfd7a999cf5378530a04a');
INSERT INTO public.events VALUES (4, '2026-11-22T08:30:00.000000Z', 'anna@workshop', 'confirm', 'lamp-000001', '{"serial":"6f67a15b149a33c972571f329c66622acbdbcfe6"}', '57f41d67e50d60f98d5f476dfb82450c17146a6524dbfd7a999cf5378530a04a', 'e037a12e006115508869fbb36b0bbf2c07cad67ec2a519e89ecb5528cf1c705a');
INSERT INTO public.events VALUES (5, '2026-11-22T08:30:00.000000Z', 'anna@workshop', 'import', 'lamps-1', '{"certificates":{},"tokens":{"lamp-000002":"1111111111111111111111111111111111111111111111111111111111111111"}}', 'e037a12e006115508869fbb36b0bbf2c07cad67ec2a519e89ecb5528cf1c705a', 'fa4fd8617346bb6b143077f476c017a3d01674ee844b8a7369fe083165fb4fec');
INSERT INTO public.events VALUES (6, '2026-11-22T08:30:00.000000Z', 'anna@workshop', 'renew', 'lamp-000002', '{"serial":"65a71d51f93dcf3501eafa777508b99abf2ce7a8","spki_sha256":"aff310e91726a835f48637aa47337a13261164acd597fb3d9138b91948adeb75","superseded":[]}', 'fa4fd8617346bb6b143077f476c017a3d01674ee844b8a7369fe083165fb4fec', 'f3b52c2eae5dbf40f48d3616a17fe524c9ea14e341297f510ffa8843857ce29e');
INSERT INTO public.events VALUES (7, '2026-11-22T08:30:00.000000Z', 'anna@workshop', 'revoke', 'lamp-000002', '{"reason":"key_compromise","serials":["65a71d51f93dcf3501eafa777508b99abf2ce7a8"]}', 'f3b52c2eae5dbf40f48d3616a17fe524c9ea14e341297f510ffa8843857ce29e', 'a5aa3244eed1cfdc22a4e340ed83f5273e0fb47c4a658d7debc901b8e0dcef7a');
INSERT INTO public.events VALUES (8, '2026-11-22T08:30:00.000000Z', 'anna@workshop', 'import', 'lamps-1', '{"certificates":{},"tokens":{"lamp-000005":"2222222222222222222222222222222222222222222222222222222222222222"}}', 'a5aa3244eed1cfdc22a4e340ed83f5273e0fb47c4a658d7debc901b8e0dcef7a', 'a7a2231357327195dbc58a4869886fb91019201ee1cd35c509a56bc49caef29e');
INSERT INTO public.events VALUES (9, '2026-11-22T08:30:00.000000Z', 'migration', 'upgrade', 'ledger', '{"certificates":{"65a71d51f93dcf3501eafa777508b99abf2ce7a8":["lamp-000002","r"],"6f67a15b149a33c972571f329c66622acbdbcfe6":["lamp-000001","tc"]},"devices":{"lamp-000001":"active","lamp-000002":"revoked","lamp-000005":"registered"},"tokens":{"0000000000000000000000000000000000000000000000000000000000000000":["lamp-000001","used"],"1111111111111111111111111111111111111111111111111111111111111111":["lamp-000002","replaced"],"2222222222222222222222222222222222222222222222222222222222222222":["lamp-000005","unused"]}}', 'a7a2231357327195dbc58a4869886fb91019201ee1cd35c509a56bc49caef29e', 'd0bcfbe52de3a758b8b3c8a59477f7bca0faedf406200c48f0d56d93143e8964');
INSERT INTO public.public_keys VALUES ('ceff39f3d0f9ba79c69e417ccce7aa3b31772542adfe578e06412ac1cfebcf28', 'lamp-000001', NULL);
INSERT INTO public.public_keys VALUES ('aff310e91726a835f48637aa47337a13261164acd597fb3d9138b91948adeb75', 'lamp-000002', NULL);
INSERT INTO public.refused_boards VALUES (1, 'lamps-1', NULL, '/dev/ttyUSB0', 'bench:1', 'no-answer', 'no board answered', '2026-11-22T08:30:00.000000Z');
INSERT INTO public.settings VALUES ('site', 'home');
INSERT INTO public.settings VALUES ('schema', 'numbered');
INSERT INTO public.tokens VALUES ('0000000000000000000000000000000000000000000000000000000000000000', 'lamp-000001', '2027-02-20T08:30:00.000000Z', 'used', '2026-11-22T08:30:00.000000Z');
INSERT INTO public.tokens VALUES ('1111111111111111111111111111111111111111111111111111111111111111', 'lamp-000002', '2027-02-20T08:30:00.000000Z', 'replaced', NULL);
INSERT INTO public.tokens VALUES ('2222222222222222222222222222222222222222222222222222222222222222', 'lamp-000005', '2027-02-20T08:30:00.000000Z', 'unused', NULL);
INSERT INTO public.units VALUES ('lamp-000001', 'lamps-1', 0, 'device', 'burned', '24:0a:c4:00:00:00', 'bench:1', '/dev/ttyUSB0', NULL, '2026-11-22T08:30:00.000000Z', '2026-11-22T08:30:00.000000Z', '2026-11-22T08:30:00.000000Z', 'Lamp', 'B', 'L0');
INSERT INTO public.units VALUES ('lamp-000002', 'lamps-1', 1, 'factory', 'burned', '24:0a:c4:00:00:01', 'bench:1', '/dev/ttyUSB0', NULL, '2026-11-22T08:30:00.000000Z', '2026-11-22T08:30:00.000000Z', '2026-11-22T08:30:00.000000Z', 'Lamp', 'B', 'L1');
INSERT INTO public.units VALUES ('lamp-000003', 'lamps-1', 2, 'device', 'quarantined', '24:0a:c4:00:00:02', 'bench:1', '/dev/ttyUSB0', 'no answer', '2026-11-22T08:30:00.000000Z', '2026-11-22T08:30:00.000000Z', '2026-11-22T08:30:00.000000Z', 'Lamp', 'B', 'L2');
INSERT INTO public.units VALUES ('lamp-000004', 'lamps-1', 3, 'device', 'claimed', '24:0a:c4:00:00:03', 'bench:1', '/dev/ttyUSB0', NULL, '2026-11-22T08:30:00.000000Z', NULL, '2026-11-22T08:30:00.000000Z', 'Lamp', 'B', 'L3');
INSERT INTO public.units VALUES ('lamp-000005', 'lamps-1', 4, 'device', 'planned', NULL, NULL, NULL, NULL, NULL, NULL, '2026-11-22T08:30:00.000000Z', 'Lamp', 'B', 'L4');
INSERT INTO public.units VALUES ('lamp-000006', 'lamps-1', 5, 'device', 'returned', '24:0a:c4:00:00:00', 'bench:1', '/dev/ttyUSB0', 'no answer', '2026-11-22T08:30:00.000000Z', '2026-11-22T08:30:00.000000Z', '2026-11-22T08:30:00.000000Z', 'Lamp', 'B', 'L5');
SELECT pg_catalog.setval('public.burns_id_seq', 3, true);
SELECT pg_catalog.setval('public.refused_boards_id_seq', 1, true);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.batches
    ADD CONSTRAINT pk_batches PRIMARY KEY (batch);
ALTER TABLE ONLY public.burns
    ADD CONSTRAINT pk_burns PRIMARY KEY (id);
ALTER TABLE ONLY public.certificates
    ADD CONSTRAINT pk_certificates PRIMARY KEY (serial);
ALTER TABLE ONLY public.crls
    ADD CONSTRAINT pk_crls PRIMARY KEY (issuer_spki_sha256);
ALTER TABLE ONLY public.devices
    ADD CONSTRAINT pk_devices PRIMARY KEY (device);
ALTER TABLE ONLY public.events
    ADD CONSTRAINT pk_events PRIMARY KEY (seq);
ALTER TABLE ONLY public.public_keys
    ADD CONSTRAINT pk_public_keys PRIMARY KEY (spki_sha256);
ALTER TABLE ONLY public.refused_boards
    ADD CONSTRAINT pk_refused_boards PRIMARY KEY (id);
ALTER TABLE ONLY public.settings
    ADD CONSTRAINT pk_settings PRIMARY KEY (name);
ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT pk_tokens PRIMARY KEY (token_sha256);
ALTER TABLE ONLY public.units
    ADD CONSTRAINT pk_units PRIMARY KEY (device);
ALTER TABLE ONLY public.certificates
    ADD CONSTRAINT uq_certificates_serial_device UNIQUE (serial, device);
ALTER TABLE ONLY public.certificates
    ADD CONSTRAINT uq_certificates_token_sha256 UNIQUE (token_sha256);
ALTER TABLE ONLY public.events
    ADD CONSTRAINT uq_events_digest UNIQUE (digest);
ALTER TABLE ONLY public.public_keys
    ADD CONSTRAINT uq_public_keys_spki_sha256_device UNIQUE (spki_sha256, device);
ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT uq_tokens_token_sha256_device UNIQUE (token_sha256, device);
ALTER TABLE ONLY public.units
    ADD CONSTRAINT uq_units_batch_position UNIQUE (batch, "position");
CREATE INDEX ix_burns_device ON public.burns USING btree (device);
CREATE UNIQUE INDEX ix_certificates_current ON public.certificates USING btree (device) WHERE ((confirmed_at IS NOT NULL) AND (superseded_at IS NULL) AND ((status)::text <> 'revoked'::text));
CREATE INDEX ix_certificates_device ON public.certificates USING btree (device);
CREATE UNIQUE INDEX ix_certificates_heir ON public.certificates USING btree (predecessor) WHERE (confirmed_at IS NOT NULL);
CREATE INDEX ix_certificates_status ON public.certificates USING btree (status);
CREATE UNIQUE INDEX ix_certificates_unconfirmed ON public.certificates USING btree (device) WHERE ((confirmed_at IS NULL) AND ((status)::text <> 'revoked'::text));
CREATE INDEX ix_devices_mac ON public.devices USING btree (mac);
CREATE INDEX ix_events_at ON public.events USING btree (at);
CREATE INDEX ix_refused_boards_batch ON public.refused_boards USING btree (batch);
CREATE INDEX ix_tokens_device ON public.tokens USING btree (device);
CREATE UNIQUE INDEX ix_tokens_unused ON public.tokens USING btree (device) WHERE ((state)::text = 'unused'::text);
CREATE INDEX ix_units_batch_state_position ON public.units USING btree (batch, state, "position");
CREATE UNIQUE INDEX ix_units_mac ON public.units USING btree (mac) WHERE ((state)::text <> 'returned'::text);
ALTER TABLE ONLY public.burns
    ADD CONSTRAINT fk_burns_device FOREIGN KEY (device) REFERENCES public.units(device);
ALTER TABLE ONLY public.certificates
    ADD CONSTRAINT fk_certificates_predecessor_device FOREIGN KEY (predecessor, device) REFERENCES public.certificates(serial, device);
ALTER TABLE ONLY public.certificates
    ADD CONSTRAINT fk_certificates_spki_sha256_device FOREIGN KEY (spki_sha256, device) REFERENCES public.public_keys(spki_sha256, device);
ALTER TABLE ONLY public.certificates
    ADD CONSTRAINT fk_certificates_token_sha256_device FOREIGN KEY (token_sha256, device) REFERENCES public.tokens(token_sha256, device);
ALTER TABLE ONLY public.public_keys
    ADD CONSTRAINT fk_public_keys_device FOREIGN KEY (device) REFERENCES public.devices(device);
ALTER TABLE ONLY public.refused_boards
    ADD CONSTRAINT fk_refused_boards_batch FOREIGN KEY (batch) REFERENCES public.batches(batch);
ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT fk_tokens_device FOREIGN KEY (device) REFERENCES public.devices(device);
ALTER TABLE ONLY public.units
    ADD CONSTRAINT fk_units_batch FOREIGN KEY (batch) REFERENCES public.batches(batch);
