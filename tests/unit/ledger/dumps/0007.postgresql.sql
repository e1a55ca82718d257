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
INSERT INTO public.alembic_version VALUES ('0007');
INSERT INTO public.batches VALUES ('lamps-1', '2026-11-22T08:30:00.000000Z');
INSERT INTO public.burns VALUES (1, 'lamp-000001', '24:0a:c4:00:00:00', '/dev/ttyUSB0', 'bench:1', 'burned', '', '2026-11-22T08:30:00.000000Z');
INSERT INTO public.burns VALUES (2, 'lamp-000002', '24:0a:c4:00:00:01', '/dev/ttyUSB0', 'bench:1', 'burned', '', '2026-11-22T08:30:00.000000Z');
INSERT INTO public.burns VALUES (3, 'lamp-000003', '24:0a:c4:00:00:02', '/dev/ttyUSB0', 'bench:1', 'quarantined', '', '2026-11-22T08:30:00.000000Z');
INSERT INTO public.certificates VALUES ('651524e074c422cf7a0c3bd628a5c9371b489ebe', 'device', 'lamp-000001', 'e00548eb3410e5e4eb4eb8d7af52fb14fee8cde681503279cc09011d094f302e', '0000000000000000000000000000000000000000000000000000000000000000', 'active', '2026-11-22T08:30:00.000000Z', '2026-11-22T08:30:00.000000Z', '2027-11-22T08:30:00.000000Z', '\x3082012a3081d2a0030201020214651524e074c422cf7a0c3bd628a5c9371b489ebe300a06082a8648ce3d04030230163114301206035504030c0b6c616d702d303030303031301e170d3236313132323038333030305a170d3237313132323038333030305a30163114301206035504030c0b6c616d702d3030303030313059301306072a8648ce3d020106082a8648ce3d03010703420004fa0f0e373446b070e65478c1fc5946a1e2b26a78d8ada284179ae8c72e930d3b61fb7f97d9fff24bf9e16b0fa8abcaf43209236634478d2a33edbff12abe693e300a06082a8648ce3d040302034700304402200e45fdadb4471159e6008bd46b97e3a64a46c12ff7a087ee617c859d096c2797022045e6506717eeec17e60f3535c1e7bbe2496324a1c845dbb36d18aac978d5094f', NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.certificates VALUES ('44cacde7c64cd91b11c2f1a9207c0a06b1d39f8f', 'device', 'lamp-000002', 'd3a6ae8aa23422dcc99dff9bd29ab756d410a47391b782f0050b79513b1afe4d', NULL, 'revoked', '2026-11-22T08:30:00.000000Z', '2026-11-22T08:30:00.000000Z', '2027-11-22T08:30:00.000000Z', '\x3082012b3081d2a003020102021444cacde7c64cd91b11c2f1a9207c0a06b1d39f8f300a06082a8648ce3d04030230163114301206035504030c0b6c616d702d303030303032301e170d3236313132323038333030305a170d3237313132323038333030305a30163114301206035504030c0b6c616d702d3030303030323059301306072a8648ce3d020106082a8648ce3d030107034200049a9c13a8a4b4c8c60beb42c6f449d447918c68a67f8c4fe6aae2631e11db6ecce66ea1dab17e0feaf69e0d7764fa2aa4c0578237c94dca0bb5b1ac6b4b13905b300a06082a8648ce3d0403020348003045022100b1680b157750cb1e71b53f2512c7d019996028da4fc50b6c0fb2907cd3c2dd8102204d7c72ac73f8fb1a9ffc6ca7e7deae81ef3a856c41bab7032c019cd6ab067f67', '2026-11-22T08:30:00.000000Z', 'key_compromise', NULL, NULL, NULL, NULL);
INSERT INTO public.crls VALUES ('cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc', 7);
INSERT INTO public.devices VALUES ('lamp-000001', 'lamps-1', 'active', '2026-11-22T08:30:00.000000Z', NULL, NULL, '24:0a:c4:00:00:00', 'burned', '2026-11-22T08:30:00.000000Z');
INSERT INTO public.devices VALUES ('lamp-000002', 'lamps-1', 'revoked', '2026-11-22T08:30:00.000000Z', '2026-11-22T08:30:00.000000Z', 'key_compromise', NULL, NULL, NULL);
INSERT INTO public.devices VALUES ('lamp-000005', 'lamps-1', 'registered', '2026-11-22T08:30:00.000000Z', NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.events VALUES (1, '2026-11-22T08:30:00.000000Z', 'anna@workshop', 'batch', 'lamps-1', '{"units":6}', '0000000000000000000000000000000000000000000000000000000000000000', '1b86dde2453f9bad35e298d3eaffb4489358f6cb1cc16037596a62cf0f2ef18f');
INSERT INTO public.events VALUES (2, '2026-11-22T08:30:00.000000Z', 'anna@workshop', 'register', 'lamp-000001', '{"batch":"lamps-1"}', '1b86dde2453f9bad35e298d3eaffb4489358f6cb1cc16037596a62cf0f2ef18f', 'b315e10b0d2737942fb5f6e92f8f786374cdc9500a849fe0fed53c934529f549');
INSERT INTO public.events VALUES (3, '2026-11-22T08:30:00.000000Z', 'anna@workshop', 'register', 'lamp-000002', '{"batch":"lamps-1"}', 'b315e10b0d2737942fb5f6e92f8f786374cdc9500a849fe0fed53c934529f549', '7b9843e7277c094c654cb60763b2363d658d72a19ff752ba702ce645b80c8795');
INSERT INTO public.events VALUES (4, '2026-11-22T08:30:00.000000Z', 'anna@workshop', 'register', 'lamp-000005', '{"batch":"lamps-1"}', '7b9843e7277c094c654cb60763b2363d658d72a19ff752ba702ce645b80c8795', '7940241ec74c089782762164c1584aee5898053cc8003c8d8263cb41cf88308f');
INSERT INTO public.public_keys VALUES ('e00548eb3410e5e4eb4eb8d7af52fb14fee8cde681503279cc09011d094f302e', 'lamp-000001', NULL);
INSERT INTO public.public_keys VALUES ('d3a6ae8aa23422dcc99dff9bd29ab756d410a47391b782f0050b79513b1afe4d', 'lamp-000002', NULL);
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
