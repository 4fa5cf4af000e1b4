"""The box's configuration, typed: `Config` and its sections, and the file that holds it."""

from firmware_app.core.settings.file import as_toml as as_toml
from firmware_app.core.settings.file import describe as describe
from firmware_app.core.settings.file import load as load
from firmware_app.core.settings.file import load_with_source as load_with_source
from firmware_app.core.settings.sections import DEFAULT_PATH as DEFAULT_PATH
from firmware_app.core.settings.sections import AeTitle as AeTitle
from firmware_app.core.settings.sections import BackupSection as BackupSection
from firmware_app.core.settings.sections import BoxSection as BoxSection
from firmware_app.core.settings.sections import Config as Config
from firmware_app.core.settings.sections import DicomSection as DicomSection
from firmware_app.core.settings.sections import DicomwebSection as DicomwebSection
from firmware_app.core.settings.sections import ExportSection as ExportSection
from firmware_app.core.settings.sections import FhirSection as FhirSection
from firmware_app.core.settings.sections import FolderSection as FolderSection
from firmware_app.core.settings.sections import PacksSection as PacksSection
from firmware_app.core.settings.sections import PacsSection as PacsSection
from firmware_app.core.settings.sections import ReaderSection as ReaderSection
from firmware_app.core.settings.sections import RetentionSection as RetentionSection
from firmware_app.core.settings.sections import ReviewSection as ReviewSection
from firmware_app.core.settings.sections import SoftwareSection as SoftwareSection
from firmware_app.core.settings.sections import StateSection as StateSection
from firmware_app.core.settings.sections import UplinkSection as UplinkSection
from firmware_app.core.settings.sections import UsbSection as UsbSection
from firmware_app.core.settings.sections import ViewerSection as ViewerSection
from firmware_app.core.settings.sections import WorklistSection as WorklistSection
from firmware_app.core.settings.source import Source as Source
