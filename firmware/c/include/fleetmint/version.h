/* The version of Fleetmint that this core belongs to.
 *
 * SPDX-License-Identifier: MIT */
#ifndef FLEETMINT_VERSION_H
#define FLEETMINT_VERSION_H

#define FM_VERSION "0.1.0"

#endif
