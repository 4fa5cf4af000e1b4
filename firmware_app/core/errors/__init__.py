"""Errors that more than one flat raises or catches, and the root of all; every other error stands in its flat's
`errors`.

A class is an error that somebody catches or derives from. Every other error is a `Refusal`: a code, a sentence with
named placeholders and the class that its error belongs to, raised as ``raise FILE_EMPTY()``.
"""

from firmware_app.core.errors.base import LanternError as LanternError
from firmware_app.core.errors.base import Refusal as Refusal
from firmware_app.core.errors.box import CONFIG_FILE_MISSING as CONFIG_FILE_MISSING
from firmware_app.core.errors.box import CONFIG_FORBIDDEN as CONFIG_FORBIDDEN
from firmware_app.core.errors.box import CONFIG_FOREIGN_ADDRESS as CONFIG_FOREIGN_ADDRESS
from firmware_app.core.errors.box import CONFIG_INCOMPLETE as CONFIG_INCOMPLETE
from firmware_app.core.errors.box import CONFIG_INVALID as CONFIG_INVALID
from firmware_app.core.errors.box import CONFIG_IS_FOLDER as CONFIG_IS_FOLDER
from firmware_app.core.errors.box import CONFIG_KEY_MISMATCH as CONFIG_KEY_MISMATCH
from firmware_app.core.errors.box import CONFIG_MISSING as CONFIG_MISSING
from firmware_app.core.errors.box import CONFIG_NO_CERTIFICATE as CONFIG_NO_CERTIFICATE
from firmware_app.core.errors.box import CONFIG_NO_FOLDER as CONFIG_NO_FOLDER
from firmware_app.core.errors.box import CONFIG_NO_HOST as CONFIG_NO_HOST
from firmware_app.core.errors.box import CONFIG_NO_KEY as CONFIG_NO_KEY
from firmware_app.core.errors.box import CONFIG_NOT_A_FILE as CONFIG_NOT_A_FILE
from firmware_app.core.errors.box import CONFIG_NOT_A_FOLDER as CONFIG_NOT_A_FOLDER
from firmware_app.core.errors.box import CONFIG_NOT_TOML as CONFIG_NOT_TOML
from firmware_app.core.errors.box import CONFIG_NOT_UTF8 as CONFIG_NOT_UTF8
from firmware_app.core.errors.box import CONFIG_PORT_TWICE as CONFIG_PORT_TWICE
from firmware_app.core.errors.box import CONFIG_TWICE as CONFIG_TWICE
from firmware_app.core.errors.box import CONFIG_UNKNOWN_KEY as CONFIG_UNKNOWN_KEY
from firmware_app.core.errors.box import CONFIG_UNREADABLE as CONFIG_UNREADABLE
from firmware_app.core.errors.box import NOT_RUNNING as NOT_RUNNING
from firmware_app.core.errors.box import PORT_TAKEN as PORT_TAKEN
from firmware_app.core.errors.box import STORE_DAMAGED as STORE_DAMAGED
from firmware_app.core.errors.box import STORE_LOOKED_AT as STORE_LOOKED_AT
from firmware_app.core.errors.box import STORE_NOT_READY as STORE_NOT_READY
from firmware_app.core.errors.box import STORE_TOO_OLD as STORE_TOO_OLD
from firmware_app.core.errors.box import STORE_UNREADABLE as STORE_UNREADABLE
from firmware_app.core.errors.box import AlreadyRunning as AlreadyRunning
from firmware_app.core.errors.box import ChildWillNotStart as ChildWillNotStart
from firmware_app.core.errors.box import ConfigError as ConfigError
from firmware_app.core.errors.box import ConfigFileForbidden as ConfigFileForbidden
from firmware_app.core.errors.box import ConfigFinding as ConfigFinding
from firmware_app.core.errors.box import ConfigFolderForbidden as ConfigFolderForbidden
from firmware_app.core.errors.box import ProvisionError as ProvisionError
from firmware_app.core.errors.box import ServiceError as ServiceError
from firmware_app.core.errors.box import StateUnusable as StateUnusable
from firmware_app.core.errors.box import StoreError as StoreError
from firmware_app.core.errors.box import StoreTooNew as StoreTooNew
from firmware_app.core.errors.box import StoreVersionError as StoreVersionError
from firmware_app.core.errors.clock import CERTIFICATE_ENDED as CERTIFICATE_ENDED
from firmware_app.core.errors.clock import CERTIFICATE_ENDED_BY_CLOCK as CERTIFICATE_ENDED_BY_CLOCK
from firmware_app.core.errors.clock import CERTIFICATE_NOT_YET as CERTIFICATE_NOT_YET
from firmware_app.core.errors.clock import CERTIFICATE_NOT_YET_BY_CLOCK as CERTIFICATE_NOT_YET_BY_CLOCK
from firmware_app.core.errors.clock import ClockError as ClockError
from firmware_app.core.errors.disk import DISK_FAILING as DISK_FAILING
from firmware_app.core.errors.disk import DISK_READ_ONLY as DISK_READ_ONLY
from firmware_app.core.errors.disk import DiskFull as DiskFull
from firmware_app.core.errors.disk import DiskTrouble as DiskTrouble
from firmware_app.core.errors.judgement import MEMORY_SHORT as MEMORY_SHORT
from firmware_app.core.errors.judgement import ImagingError as ImagingError
from firmware_app.core.errors.judgement import Undecodable as Undecodable
from firmware_app.core.errors.packs import RuntimeFault as RuntimeFault
from firmware_app.core.errors.packs import RuntimeUnavailable as RuntimeUnavailable
from firmware_app.core.errors.provision import SealingFailed as SealingFailed
from firmware_app.core.errors.upkeep import RESET_UNFINISHED as RESET_UNFINISHED
from firmware_app.core.errors.upkeep import CareError as CareError
