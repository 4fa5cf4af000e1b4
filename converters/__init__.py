"""From labelled films to a signed pack, in the order of the chain.

``cli``               the command ``lantern-convert``, with its steps in their order
``recipe``            what a recipe may say; ``failures``: every refusal, with its sentence
``workflow``          a run of a recipe: its work folder, the steps that are done, the device, atomic writes
``data``              films and volumes: readers, duplicates, splits by patient, the frozen test part, clinics' feedback
``nets``              the networks, our own and foreign ones
``tasks``             what a network is for: targets, loss, gates, words of the card; one module a task
``pretraining``       a start for networks without published weights, from films without labels
``training``          train, leave-out, distill, prune
``statistics``        AUC, rates, calibration and lesions with their intervals; no files, no networks
``evaluation``        calibrate, gate, and ``lantern-convert evaluate``
``formats``           export: ONNX, OpenVINO, TFLite and what else is registered
``quantizing``        quantize: PTQ, accuracy control, QAT; and how long a file takes
``explanation``       maps: activation maps beside Grad-CAM, occlusion and outlines
``golden_cases``      images with the answers that a pack must give in every runtime
``report``            report: one HTML page
``packing``           typicality and pack: manifest, measured rows, card, bill of materials
``publishing``        a signed repository of packs
``synthetic_images``  images made by code, for golden cases and for the typicality of chest films
``shipped_packs``     what keeps this repository's own packs up to date
``recipes``, ``splits``, ``examples``: our recipes, their frozen test parts, and recipes to begin from
"""
