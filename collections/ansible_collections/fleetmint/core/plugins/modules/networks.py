#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action networks; the work is done in plugins/action."""

from __future__ import annotations

DOCUMENTATION = r"""
module: networks
short_description: Refuse networks that are not what somebody wrote
description:
  - Reads the Wi-Fi profiles of a site as they are written, before templating, and fails with file, line and remedy.
  - Refuses what has to be text and is none to YAML, such as V(0612345670), V(yes) and nothing at all; control
    characters; names and passphrases of a wrong length; a profile that is there twice.
  - Refuses C({{), C({%) and C({#) inside of text, of which Ansible would make something else. A value that is one
    expression as a whole is worked out as usual; C(!unsafe) and C(!vault) are taken as they are.
  - Shows no passphrase, and changes nothing.
options:
  variable:
    description: Name of the variable that holds the networks.
    type: str
    default: fleet_wifi
attributes:
  check_mode:
    support: full
    description: Changes nothing in any mode.
  diff_mode:
    support: none
    description: There is nothing to compare.
author: The Fleetmint authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Read the networks
  fleetmint.core.networks:
"""

RETURN = r"""
networks:
  description: Names of the profiles.
  type: list
  elements: str
  returned: success
"""
