# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the options that say which CAs a module works with."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of every module that opens a CA."""

    DOCUMENTATION = r"""
options:
  directory:
    description: Directory of the CAs.
    type: path
    required: true
  site:
    description: Name of the site, the O of every subject.
    type: raw
    required: true
  passphrases:
    description:
      - Source of the passphrases, C(file:DIRECTORY) or C(vault:DIRECTORY); of a root's alone, C(shares:DIRECTORY).
      - The sources C(prompt:) and C(fd:N) are for the command C(fleetmint), since a module has neither a terminal nor
        the descriptors of the shell.
    type: str
    required: true
  root_directory:
    description:
      - Directory of the root's key, such as one on a medium that is away on ordinary days.
      - Inside O(directory) when it is left out.
    type: path
"""
