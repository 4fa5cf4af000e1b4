"""The box's configuration, typed: `Config` and its sections, and the file that holds it."""

from firmware_app.config.file import as_toml as as_toml
from firmware_app.config.file import describe as describe
from firmware_app.config.file import load as load
from firmware_app.config.sections import DEFAULT_PATH as DEFAULT_PATH
from firmware_app.config.sections import AeTitle as AeTitle
from firmware_app.config.sections import Backup as Backup
from firmware_app.config.sections import Box as Box
from firmware_app.config.sections import Config as Config
from firmware_app.config.sections import Dicom as Dicom
from firmware_app.config.sections import Export as Export
from firmware_app.config.sections import Folder as Folder
from firmware_app.config.sections import Packs as Packs
from firmware_app.config.sections import Pacs as Pacs
from firmware_app.config.sections import Reader as Reader
from firmware_app.config.sections import Retention as Retention
from firmware_app.config.sections import State as State
from firmware_app.config.sections import Uplink as Uplink
from firmware_app.config.sections import Usb as Usb
from firmware_app.config.sections import Viewer as Viewer
