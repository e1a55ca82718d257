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
    CONSTRAINT ck_certificates_active_is_signed CHECK ((((status)::text <> 'active'::text) OR ((der IS NOT NULL) AND (not_after IS NOT NULL)))),
    CONSTRAINT ck_certificates_issuer CHECK (((issuer)::text = ANY ((ARRAY['device'::character varying, 'factory'::character varying])::text[]))),
    CONSTRAINT ck_certificates_revoked_has_time CHECK ((((status)::text = 'revoked'::text) = (revoked_at IS NOT NULL))),
    CONSTRAINT ck_certificates_status CHECK (((status)::text = ANY ((ARRAY['reserved'::character varying, 'active'::character varying, 'revoked'::character varying])::text[])))
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
INSERT INTO public.batches VALUES ('lamps-1', '2026-11-22T08:30:00.000000Z');
INSERT INTO public.burns VALUES (1, 'lamp-000001', '24:0a:c4:00:00:00', '/dev/ttyUSB0', 'bench:1', 'burned', '', '2026-11-22T08:30:00.000000Z');
INSERT INTO public.burns VALUES (2, 'lamp-000002', '24:0a:c4:00:00:01', '/dev/ttyUSB0', 'bench:1', 'burned', '', '2026-11-22T08:30:00.000000Z');
INSERT INTO public.burns VALUES (3, 'lamp-000003', '24:0a:c4:00:00:02', '/dev/ttyUSB0', 'bench:1', 'quarantined', '', '2026-11-22T08:30:00.000000Z');
INSERT INTO public.certificates VALUES ('0b9afb83cae98c6fd52fc0da5d182178031f9dce', 'device', 'lamp-000001', 'e51d225660c6d4e674495b1a2004033b4c00bc9d4bdb62d980ca70d2a11b94ac', '0000000000000000000000000000000000000000000000000000000000000000', 'active', '2026-11-22T08:30:00.000000Z', '2026-11-22T08:30:00.000000Z', '2027-11-22T08:30:00.000000Z', '\x3082012b3081d2a00302010202140b9afb83cae98c6fd52fc0da5d182178031f9dce300a06082a8648ce3d04030230163114301206035504030c0b6c616d702d303030303031301e170d3236313132323038333030305a170d3237313132323038333030305a30163114301206035504030c0b6c616d702d3030303030313059301306072a8648ce3d020106082a8648ce3d03010703420004d7a3bd0262043206ab13501c89b4d4c790461e2f68bf05b5405f5b9f65b6cd67fab902f6e5b038a99ae44bfe87d5de35364e874df0a7e1a6a3bb2587bd63add9300a06082a8648ce3d040302034800304502202721b60b147af4af3bf4cef8a25488b3fe7e50025d085bf7e090ae8d2a290075022100cda3319d0ed7598ff73a9e4f63c91d7897a9e88b2bcb38bda4115733eb90a6b0', NULL, NULL);
INSERT INTO public.certificates VALUES ('75885a144a9ea3f948319bf1cef9fe7bbd3d1fd7', 'device', 'lamp-000002', '7cc4cf020d60057cd00dff6707a1f97fd914cbae50bef24f76a8dfcda735fdda', NULL, 'revoked', '2026-11-22T08:30:00.000000Z', '2026-11-22T08:30:00.000000Z', '2027-11-22T08:30:00.000000Z', '\x3082012b3081d2a003020102021475885a144a9ea3f948319bf1cef9fe7bbd3d1fd7300a06082a8648ce3d04030230163114301206035504030c0b6c616d702d303030303032301e170d3236313132323038333030305a170d3237313132323038333030305a30163114301206035504030c0b6c616d702d3030303030323059301306072a8648ce3d020106082a8648ce3d03010703420004825bce94bebbaf0d66e598dd90d45ceebdee30db52dc98b05cda874d3a4b70a82a88ade10f9a3d17e195844dedc957fb3ef37e06d4a1b166cc3b44e345eb735e300a06082a8648ce3d040302034800304502206a1dc5d71485ca0ed00fca17a2119b2ea3b2c203f4b221a86c34c53cd150d37c022100af36ec6bb52a7167272358cd3e15bd4fa1f5875b8b459d68087478431984a088', '2026-11-22T08:30:00.000000Z', 'key_compromise');
INSERT INTO public.crls VALUES ('cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc', 7);
INSERT INTO public.devices VALUES ('lamp-000001', 'lamps-1', 'active', '2026-11-22T08:30:00.000000Z', NULL, NULL, '24:0a:c4:00:00:00', 'burned', '2026-11-22T08:30:00.000000Z');
INSERT INTO public.devices VALUES ('lamp-000002', 'lamps-1', 'revoked', '2026-11-22T08:30:00.000000Z', '2026-11-22T08:30:00.000000Z', 'key_compromise', NULL, NULL, NULL);
INSERT INTO public.devices VALUES ('lamp-000005', 'lamps-1', 'registered', '2026-11-22T08:30:00.000000Z', NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.events VALUES (1, '2026-11-22T08:30:00.000000Z', 'anna@workshop', 'batch', 'lamps-1', '{"units":6}', '0000000000000000000000000000000000000000000000000000000000000000', '1b86dde2453f9bad35e298d3eaffb4489358f6cb1cc16037596a62cf0f2ef18f');
INSERT INTO public.events VALUES (2, '2026-11-22T08:30:00.000000Z', 'anna@workshop', 'register', 'lamp-000001', '{"batch":"lamps-1"}', '1b86dde2453f9bad35e298d3eaffb4489358f6cb1cc16037596a62cf0f2ef18f', 'b315e10b0d2737942fb5f6e92f8f786374cdc9500a849fe0fed53c934529f549');
INSERT INTO public.events VALUES (3, '2026-11-22T08:30:00.000000Z', 'anna@workshop', 'register', 'lamp-000002', '{"batch":"lamps-1"}', 'b315e10b0d2737942fb5f6e92f8f786374cdc9500a849fe0fed53c934529f549', '7b9843e7277c094c654cb60763b2363d658d72a19ff752ba702ce645b80c8795');
INSERT INTO public.events VALUES (4, '2026-11-22T08:30:00.000000Z', 'anna@workshop', 'register', 'lamp-000005', '{"batch":"lamps-1"}', '7b9843e7277c094c654cb60763b2363d658d72a19ff752ba702ce645b80c8795', '7940241ec74c089782762164c1584aee5898053cc8003c8d8263cb41cf88308f');
INSERT INTO public.public_keys VALUES ('e51d225660c6d4e674495b1a2004033b4c00bc9d4bdb62d980ca70d2a11b94ac', 'lamp-000001');
INSERT INTO public.public_keys VALUES ('7cc4cf020d60057cd00dff6707a1f97fd914cbae50bef24f76a8dfcda735fdda', 'lamp-000002');
INSERT INTO public.refused_boards VALUES (1, 'lamps-1', NULL, '/dev/ttyUSB0', 'bench:1', 'no-answer', 'no board answered', '2026-11-22T08:30:00.000000Z');
INSERT INTO public.settings VALUES ('schema', '1');
INSERT INTO public.settings VALUES ('site', 'home');
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
CREATE INDEX ix_certificates_device ON public.certificates USING btree (device);
CREATE INDEX ix_certificates_status ON public.certificates USING btree (status);
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
