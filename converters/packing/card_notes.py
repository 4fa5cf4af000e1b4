"""The fixed texts of every card: how its numbers were measured and how to read them."""

NOT_DIAGNOSTIC = (
    "Not for diagnostic use without a doctor. This card is written by `lantern-convert card` from `manifest.json`."
)
HOW_MEASURED = (
    "Rows `test`: patients that were in neither training nor validation. Row `val` or `out-of-fold`: the films that "
    "chose calibration and threshold, each judged by a network that had not learnt from it, for comparison only. "
    "Intervals are 95 %, by bootstrap over patients (rates: no narrower than Wilson's). Sensitivity and specificity at "
    "the frozen threshold."
)
LEAST_SIZE = (
    " An image whose shorter side has fewer than {px} pixels where the model reads it gets no number "
    "(`reading.too_small`)."
)
HOW_OFTEN = (
    "The test part, {films} films whose names are frozen (SHA-256 of the list `{digest}…`), was looked at {times}, "
    "every version of the pack counted. Who chooses between versions by these rows must take them for flattering."
)
HOW_STATISTICS = (
    "Each finding is held against all other films (one against the rest). `macro_auc` is the mean of the findings' "
    "AUC; `kappa` weighs grades by the square of their distance (Cohen 1968); `mae` is the mean absolute error in the "
    "number's own unit. Intervals are 95 %, patients resampled."
)
HOW_PASSED = (
    "The box gives no number for an image unlike those that the pack learnt from. *familiar*: the share of the films "
    "that get one; the other columns are of these films alone. *unfit*: films that can be none for a model, counted "
    "nowhere."
)
HOW_ABSTAINED = (
    "At home a share of at most {error:g} of the films of either class is called the other one: between the "
    "probabilities {low:.3g} and {high:.3g} the box gives no number (`pack.unsure`). Of {films} held-back films "
    "{given} get one, and of these {wrong} are wrong, each judged by limits that were set without it. For films of "
    "another place this promises nothing: the rows *unseen* tell what became of it there."
)
HOW_VARIED = (
    "The limit is set on {films} training films, each of which counts twice: as it is, and mildly varied as another "
    "clinic's machine might give it (position, exposure, sharpness, noise, a narrow frame, JPEG). {passes:.0%} of both "
    "together stay below it."
)
HOW_MADE = "The parts of this pack were made by different versions of the converter (digest of its code, step by step):"
HOW_UNSEEN = (
    "Rows `unseen[…]`: the network of the step `train`, fitted once more without any film of the source in brackets, "
    "read on its films; it is not in this pack. Its threshold was chosen by the same rule on films of the other "
    "sources; where a row has none, none was chosen. Where the row says *teacher* it is the large "
    "network from which the one in this pack learnt, not a small one like it: what a small one would do there was not "
    "measured.\n"
    "`unseen[…]` 行：将方括号内的来源全部留出，重新执行 `train` 步骤，再在该来源的影像上测试；"
    "该网络不在本包内；其阈值按同一规则在其他来源的影像上选定，未列出者表示未选定。"
    "注有 *teacher* 的是教师网络（本包的小网络由其蒸馏而来），并非同样的小网络：小网络在此情形下的表现未经测量。"
)
LICENSED = """\
The weights may be used under {licence} (`{spdx}`).

模型权重的使用许可：{licence}（`{spdx}`）。"""
NON_COMMERCIAL = """\
The weights may be used under {licence} (`{spdx}`): **not for commercial use**, as the data they learnt from.

模型权重的使用许可：{licence}（`{spdx}`），**不得用于商业用途**：训练所用数据限非商业使用。"""
HOW_PRINTED = "Each row is printed by its command (`DATA`: the data set named below):"
HOW_PRINTED_AWAY = (
    "Each row of another place is printed by its command (`DATA`: the pack's own data set, `EXTERNAL`: the other one):"
)
HOW_PRINTED_ELSEWHERE = (
    "Each row is printed by its command, in the folder of the recipe and its list of test films (`DATA`: the data set "
    "named below, `OUT`: the folder that holds this pack):"
)
WHAT_GOLDEN = (
    "Images of nobody, and public files by reference, with the probability this pack must give. They pin arithmetic, "
    "not medicine: a drawn phantom, even a clear one, may well be called positive. `distance`: how far a drawn film is "
    "from the nearest training film, in units of the median distance between nearest films of different patients (1 or "
    "more is required)."
)
NONE_DRAWN = (
    "**There is no {answer} sample among them**: no film was found that the model calls {answer}, that every file "
    "agrees on and that is far from every training film. No golden film of that kind pins this pack."
)
HOW_GATED = (
    "Each file beside the FP32 original on the same films, none of which its model had seen in training. "
    "*inconclusive*: it passed, but the 95 % interval of what it may have lost reaches beyond the margin."
)
HOW_CALIBRATED = (
    "ECE: mean distance of the probability said and the share seen, over ten bins of equally many films. Brier score: "
    "mean squared distance of probability and label. Chance alone parts said from seen, and drawing films anew adds to "
    "it: the interval of an ECE lies too high and may even leave out the ECE itself, so take its upper end for a bound "
    "and no more. Sensitivity at a fixed specificity: whatever threshold gives it."
)
HOW_MAPPED = (
    "Spearman's rank correlation of each file's map with Grad-CAM (Selvaraju et al. 2017) of the FP32 original in "
    "PyTorch, cell by cell, over films outside the test part. *every cell*: Grad-CAM before its ReLU, the form that is "
    "gated. *evidence*: with its ReLU, as the box draws it, over the films on which either map shows evidence."
)
HOW_OUTLINED = (
    "Dice: mean over the films that hold a lesion. A lesion is found when a mark covers it with an intersection over "
    "union of 0.1 or more; a false mark lies on none. Intervals are 95 %, patients resampled."
)
