// A sensor on an ESP8266 (NodeMCU, D1 mini) that has an identity of its own.
//
// The factory has written into the file system who the device is, the network, and whom it trusts: nothing of that is
// in this sketch. Choose the "Flash Size" that the batch has as its layout, or the sketch looks elsewhere.
//
// What it says comes out as devices/<id>/out/readings and devices/<id>/out/door, what it is told arrives from
// devices/<id>/in/light.
//
// SPDX-License-Identifier: MIT
#include <Fleetmint.h>

const uint8_t LIGHT = LED_BUILTIN;  // lit by LOW
const uint8_t DOOR = D2;            // a contact to ground
const uint8_t SENSOR = A0;
const uint32_t EVERY = 5000;  // milliseconds between two readings
const uint32_t BOUNCE = 50;   // and until a contact has come to rest

fm_port board;
fm_agent agent;
fm_product product;

void onMessage(void *, const char *topic, const uint8_t *payload, size_t size) {
  if (strcmp(topic, "light") == 0) {
    digitalWrite(LIGHT, size == 2 && memcmp(payload, "on", 2) == 0 ? LOW : HIGH);
  }
}

void setup() {
  Serial.begin(115200);
  pinMode(LIGHT, OUTPUT);
  digitalWrite(LIGHT, HIGH);
  pinMode(DOOR, INPUT_PULLUP);

  product.firmware = "1";
  product.reset = fm_esp8266_reset_cause();
  product.message = onMessage;
  if (fm_esp8266_begin(&board) != FM_OK) {
    Serial.println("There is no file system of the factory's here: burn this board, with the layout of this sketch");
    return;
  }
  fm_agent_begin(&agent, &board, &product);
}

// Nothing here waits: the time is looked at, and whatever is due is done.
void measure() {
  static uint32_t last;
  if (millis() - last < EVERY) {
    return;
  }
  last = millis();
  char reading[32];
  snprintf(reading, sizeof reading, "{\"light\": %d}", analogRead(SENSOR));
  fm_agent_read(&agent, reading);
}

void watchDoor() {
  static int shown = HIGH, seen = HIGH;
  static uint32_t since;
  int now = digitalRead(DOOR);
  if (now != seen) {
    seen = now;
    since = millis();
  } else if (now != shown && millis() - since >= BOUNCE) {
    shown = now;
    const char *state = now == LOW ? "{\"open\": false}" : "{\"open\": true}";
    fm_agent_publish(&agent, "door", reinterpret_cast<const uint8_t *>(state), strlen(state));
  }
}

void loop() {
  if (!agent.port) {
    return;
  }
  measure();
  watchDoor();
  fm_agent_loop(&agent);
}
