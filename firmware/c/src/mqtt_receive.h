/* The two halves of an MQTT session: what goes out, and what comes in.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_MQTT_RECEIVE_H
#define FLEETMINT_MQTT_RECEIVE_H

#include "fleetmint/mqtt.h"

/* First bytes of packets (MQTT 3.1.1, 2.2), with the flags that they always have. */
#define MQTT_CONNECT 0x10
#define MQTT_CONNACK 0x20
#define MQTT_PUBLISH 0x30
#define MQTT_PUBACK 0x40
#define MQTT_SUBSCRIBE 0x82
#define MQTT_SUBACK 0x90
#define MQTT_PINGREQ 0xC0
#define MQTT_PINGRESP 0xD0
#define MQTT_DISCONNECT 0xE0

/* Where the reading is in a packet: at its first byte, in its length, in its body, or in one that is passed over. */
enum { MQTT_KIND, MQTT_SIZE, MQTT_BODY, MQTT_PASS };

/* Read until a packet is there and taken, nothing comes, or others should have their turn: FM_OK, or an error. */
int fm_mqtt_receive(struct fm_mqtt *mqtt);

#endif
