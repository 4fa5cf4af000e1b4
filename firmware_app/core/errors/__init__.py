"""Everything the box can refuse or fail at: one tree, each leaf with a stable code and a sentence for a person.

    LanternError                base
    ├── ConfigError             box         config.*     the technician's file
    ├── StoreError              box         store.*      the databases and the state directory
    │   └── DiskTrouble         disk        disk.*       the disk is full, can only be read, or reports errors
    ├── ServiceError            box         service.*    a process of the box cannot do its work
    ├── AccountError            box         account.*    a person's account in the viewer
    ├── ProvisionError          box, provision  provision.*  the box cannot be given its identity
    ├── FrontError              upkeep      front.*      the TLS front before the viewer cannot do its work
    ├── SetupError              upkeep      setup.*      an installed box whose folders or users are not as they must be
    ├── CareError               upkeep      care.*       a backup or a clearing-up that cannot be done
    ├── ClockError              clock       clock.*      a time that cannot be, a certificate whose dates do not fit
    ├── InstallError            installation  install.*  a machine cannot be made a box, or cannot be freed of it
    ├── OfflineError            box         read.*       `lantern read` lacks something that is no image's fault
    ├── SoftwareError           software    software.*   why a version of the software is not fetched or installed
    ├── WatchError              watching    watch.*      an examination that cannot be read while it runs
    ├── ExportError             export      export.*     why an image does not leave the box de-identified
    ├── PacsError               archive     pacs.*       why the clinic's archive does not have the results yet
    ├── ReportError             report      report.*     why a case cannot be made a PDF
    ├── IntakeError             intake      intake.*     refused at the door; carries the C-STORE status (PS3.4 B.2.3)
    ├── StickError              stick       stick.*      a stick that is not opened, or not copied to its end
    ├── ImagingError            judgement   imaging.*    accepted, but its pixels cannot be shown to a model
    ├── CannotJudge             judgement   age, reading.*, quality.*, explain.*   no honest number can be given
    │   └── SeriesUnfit         series      series.*     slices that make no volume
    ├── CalibrationError        calibration  calibration.*  a confirmation or an operating point cannot be taken
    ├── EarlierError            earlier     earlier.*    why an earlier study was not found or not fetched
    ├── RegistrationError       registration  registration.*  why a patient is not registered, or a case not tied to one
    ├── MachineError            machines    machine.*    why the line to a machine does not work
    ├── PackError               packs       pack.*       a model pack is not what it claims
    ├── RuntimeFault            packs       runtime.*    an inference runtime is missing or failed
    ├── UplinkError             line        uplink.*     what may travel on the sealed line, and why it is silent
    └── HospitalError           line        hospital.*   why a message was kept aside, and what an operator must do
        ├── DateError           receiving   hospital.*   dates for which the hospital's broker refuses everybody
        └── InboxError          receiving   hospital.*   the inbox was lost, or cannot be written

Many modules: one for each part of the tree.

An error is a value: its fields fill the sentence, `code` and `details` are what is stored.  No field ever holds a
patient's name, id or a UID, so any error may be logged.
"""

from firmware_app.core.errors.archive import *
from firmware_app.core.errors.base import LanternError as LanternError
from firmware_app.core.errors.box import *
from firmware_app.core.errors.calibration import *
from firmware_app.core.errors.clock import *
from firmware_app.core.errors.disk import *
from firmware_app.core.errors.earlier import *
from firmware_app.core.errors.export import *
from firmware_app.core.errors.installation import *
from firmware_app.core.errors.intake import *
from firmware_app.core.errors.judgement import *
from firmware_app.core.errors.line import *
from firmware_app.core.errors.machines import *
from firmware_app.core.errors.packs import *
from firmware_app.core.errors.provision import *
from firmware_app.core.errors.receiving import *
from firmware_app.core.errors.registration import *
from firmware_app.core.errors.report import *
from firmware_app.core.errors.series import *
from firmware_app.core.errors.software import *
from firmware_app.core.errors.stick import *
from firmware_app.core.errors.upkeep import *
from firmware_app.core.errors.watching import *
