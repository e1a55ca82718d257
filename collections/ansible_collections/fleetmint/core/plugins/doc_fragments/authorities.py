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
    type: str
    required: true
  passphrases:
    description: Source of the passphrases, C(file:DIRECTORY) or C(vault:DIRECTORY).
    type: str
    required: true
"""
