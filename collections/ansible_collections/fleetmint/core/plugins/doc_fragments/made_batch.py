# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the options that say which batch a module works with."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of every module that works with a batch that was made."""

    DOCUMENTATION = r"""
options:
  batch:
    description: Directory of the batch, made by M(fleetmint.core.batch).
    type: path
    required: true
  ledger:
    description: SQLAlchemy URL of the factory's ledger.
    type: str
    required: true
"""
