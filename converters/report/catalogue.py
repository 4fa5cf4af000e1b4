"""Every word of the report, English and Chinese, and how both stand in one page: the one not chosen is hidden."""

from html import escape
from typing import Final

from markupsafe import Markup

CATALOGUE: Final[dict[str, tuple[str, str]]] = {
    "report": ("Conversion report", "转换报告"),
    "not_diagnostic": (
        "Not for diagnostic use without a doctor. Numbers are of the films named here and of no others.",
        "未经医生复核，不得用于诊断。所列数字仅适用于此处所述的影像。",
    ),
    "written": ("Version {version}, written {day}.", "版本 {version}，撰写于 {day}。"),
    "weak": ("Weak points", "薄弱之处"),
    "refusals": ("What was refused, and why", "被拒绝的文件及原因"),
    "refused_none": ("Nothing was refused.", "没有文件被拒绝。"),
    "numbers": ("Each file in its runtime", "各运行时中的各文件"),
    "trade": ("Speed, size and accuracy", "速度、大小与准确度"),
    "roc": ("ROC curve and operating point", "ROC 曲线与工作点"),
    "reliability": ("Reliability of the probabilities", "概率的可靠性"),
    "decision": ("Decision curve", "决策曲线"),
    "coverage": ("Coverage against risk", "判读比例与错误率"),
    "coverage_note": (
        (
            "Were a number given for the surest films alone: which share of the films gets one, and which share of "
            "these numbers is wrong. Films nearest to the threshold go first. Beside home, networks of the same kind "
            "on a source that they had not seen: where their line does not fall, sureness says nothing there."
        ),
        (
            "若只对把握最大的影像给出数值：得到数值的影像比例，以及其中判错的比例。最接近阈值者最先不予给出。"
            "除来源医院外，另示同类网络在未见过的来源上的结果：曲线不下降处，把握大小不能说明对错。"
        ),
    ),
    "share_given": ("films with a number", "得到数值的影像"),
    "share_wrong": ("wrong of these", "其中判错"),
    "at_home": ("at home", "来源医院"),
    "subgroups": ("Subgroups", "亚组"),
    "pruning": ("Pruning, layer by layer", "逐层剪枝"),
    "training": ("Networks on films held back", "网络在留出影像上的表现"),
    "tried": ("INT8 files that were tried", "尝试过的 INT8 文件"),
    "requantized": ("INT8 files made anew", "重新制作的 INT8 文件"),
    "requantized_note": (
        (
            "On {day} the INT8 files were made anew from the float files, which stayed as they are. Each is judged "
            "beside the float file, on films that the network has learnt from. The rows of INT8 files below are those "
            "of version {before}; the card has the new ones."
        ),
        (
            "{day} 由未改动的浮点文件重新制作了 INT8 文件，并在网络学习过的影像上与浮点文件逐一比较。"
            "下文 INT8 文件的各行属于版本 {before}；新的数值见卡片。"
        ),
    ),
    "reference": ("The network's own script", "网络自带的脚本"),
    "reference_measured": (
        (
            "On {n} films outside the test part, the network's own script ({script}), which prepares each film as in "
            "training, reaches an AUC of {home}. On the input that the box prepares, the network reaches {box}: a "
            "change of {change} (95 % interval {low} to {high}), where {allowed} is allowed."
        ),
        (
            "在测试集以外的 {n} 张影像上，网络自带的脚本（{script}，按训练时的方式准备影像）AUC 为 {home}；"
            "网络读取设备准备的输入时为 {box}，变化 {change}（95 % 区间 {low} 至 {high}），允许 {allowed}。"
        ),
    ),
    "reference_passed": (
        "Passed: the box shows the network what it was trained on.",
        "结论：通过，设备提供的输入与训练时一致。",
    ),
    "reference_inconclusive": (
        "Passed without proof: the films are too few to exclude a larger loss.",
        "结论：通过但证据不足，影像太少，不能排除更大的损失。",
    ),
    "explained": ("Does the activation map show what matters?", "激活图是否显示了关键区域？"),
    "intervals": (
        (
            "Intervals are 95 %, by bootstrap over patients (rates: no narrower than Wilson's). Sensitivity and "
            "specificity at the frozen threshold {threshold}. Films: {split}, {n}, {positives} of them positive. "
            "Chance alone adds to an ECE, and drawing films anew adds more: its interval lies too high and may even "
            "leave out the ECE itself, so take its upper end for a bound and no more."
        ),
        (
            "区间均为 95 %，按患者自助抽样（率的区间不窄于 Wilson 法）。灵敏度与特异度取自冻结阈值 {threshold}。"
            "影像：{split}，共 {n} 张，其中阳性 {positives} 张。"
            "随机误差会抬高 ECE，重抽样使其更高：该区间偏高，甚至可能不含 ECE 本身，仅可取其上端作为界限。"
        ),
    ),
    "trade_note": (
        (
            "One film at a time on {machine}. The area of a disc is the size of the file; lines are 95 % intervals. "
            "Left and up is better."
        ),
        "逐张推理，设备：{machine}。圆的面积表示文件大小，竖线为 95 % 区间。越靠左上越好。",
    ),
    "machine_unknown": ("a machine that was not named", "未注明的设备"),
    "roc_note": (
        "The cross is the frozen threshold with the intervals of both rates.",
        "十字为冻结阈值处的工作点，线段为两个率的区间。",
    ),
    "reliability_note": (
        "Films in ten bins of equal number. On the diagonal a probability means what it says. Below it: overstated.",
        "影像按数量等分为十组。落在对角线上表示概率名副其实；低于对角线表示高估。",
    ),
    "decision_note": (
        (
            "Net benefit (Vickers & Elkin 2006) at a prevalence of {prevalence}: acting on the model is worth it where "
            "its line is above both others."
        ),
        "患病率为 {prevalence} 时的净获益（Vickers & Elkin 2006）：模型曲线高于另外两条线处，按模型行动才有价值。",
    ),
    "pruning_note": (
        "{kept} of the multiplications were kept. Bars: output channels before (pale) and after.",
        "保留了 {kept} 的乘法运算。条形：剪枝前（浅色）与剪枝后的输出通道数。",
    ),
    "mapped_note": (
        (
            "Spearman's rank correlation of each file's map with Grad-CAM (Selvaraju et al. 2017) of the PyTorch "
            "original, film by film over the cells. First columns: Grad-CAM before its ReLU, so that every cell has a "
            "rank; this is the form that the gate judges. Last column: with its ReLU, evidence for the finding only, "
            "over the films on which either map shows any."
        ),
        (
            "各文件的激活图与 PyTorch 原模型 Grad-CAM（Selvaraju 等 2017）逐片、逐格的 Spearman 秩相关。"
            "前几列：未经 ReLU 的 Grad-CAM，每格均有秩，准入检验采用此形式。末列：经 ReLU，仅保留支持该发现的证据，"
            "只计任一图有证据的影像。"
        ),
    ),
    "pointing": (
        (
            "Pointing game (Zhang et al. 2018): on {hits} of {n} positive films with an outline, {rate}, the middle of "
            "the strongest cell lies in the outline; by chance it would on {chance}. Asked of networks that had not "
            "seen the film."
        ),
        (
            "指向测试（Zhang 等 2018）：{n} 张有轮廓的阳性影像中，{hits} 张的最强格中心落在轮廓内，{rate}；"
            "随机命中的比例为 {chance}。由未见过该影像的网络作答。"
        ),
    ),
    "explained_note": (
        (
            "Rank correlation of the class activation map with maps made by covering parts of the film: occlusion "
            "(Zeiler & Fergus 2014), LIME (Ribeiro et al. 2016). It refuses nothing."
        ),
        "类激活图与遮挡影像所得图的秩相关：遮挡法（Zeiler & Fergus 2014）、LIME（Ribeiro 等 2016）。不作准入依据。",
    ),
    "drawn_note": (
        "An image of nobody, drawn by code, with the evidence for the finding in red, each map on its own scale.",
        "由程序绘制、不属于任何人的影像；红色为支持该发现的证据，各图比例独立。",
    ),
    "runtime": ("runtime", "运行时"),
    "precision": ("precision", "精度"),
    "verdict": ("verdict", "结论"),
    "auc": ("AUC", "AUC"),
    "sensitivity": ("sensitivity", "灵敏度"),
    "specificity": ("specificity", "特异度"),
    "at_90": ("sensitivity at specificity 0.90", "特异度 0.90 时的灵敏度"),
    "at_95": ("sensitivity at specificity 0.95", "特异度 0.95 时的灵敏度"),
    "ece": ("ECE", "ECE"),
    "brier": ("Brier score", "Brier 分数"),
    "milliseconds": ("ms", "毫秒"),
    "size": ("MB", "MB"),
    "stage": ("stage", "阶段"),
    "fold": ("fold", "折"),
    "parameters": ("parameters", "参数量"),
    "multiplications": ("multiplications", "乘法次数"),
    "method": ("method", "方法"),
    "int8_layers": ("layers in INT8, of all", "INT8 层数 / 总层数"),
    "times_as_fast": ("times as fast as FP32", "相对 FP32 的速度"),
    "moved": ("logits moved by", "logit 偏移"),
    "why": ("why not", "未采用的原因"),
    "group": ("group", "亚组"),
    "films": ("films (positive)", "影像数（阳性）"),
    "count": ("films", "影像数"),
    "mean": ("mean", "均值"),
    "median": ("median, 5 % below", "中位数，下为 5 % 分位"),
    "median_spread": ("median (5 % to 95 %)", "中位数（5 % 至 95 %）"),
    "least": ("least", "最小值"),
    "evidence": ("evidence only: mean", "仅证据：均值"),
    "gradcam": ("Grad-CAM", "Grad-CAM"),
    "film": ("film", "影像"),
    "map": ("activation map", "激活图"),
    "occlusion": ("occlusion", "遮挡法"),
    "lime": ("LIME", "LIME"),
    "passed": ("passed", "通过"),
    "inconclusive": ("inconclusive", "证据不足"),
    "refused": ("refused", "拒绝"),
    "train": ("train", "训练"),
    "distill": ("distill", "蒸馏"),
    "prune": ("prune", "剪枝"),
    "original": ("FP32 original", "FP32 原模型"),
    "treat_all": ("treat all", "全部处理"),
    "treat_none": ("treat none", "全不处理"),
    "the_model": ("the model", "模型"),
    "false_positive_rate": ("1 - specificity", "1 − 特异度"),
    "said": ("probability said", "给出的概率"),
    "seen": ("share that is positive", "实际阳性比例"),
    "threshold": ("threshold probability", "阈值概率"),
    "net_benefit": ("net benefit", "净获益"),
    "ms_axis": ("milliseconds for one film (logarithmic)", "每张影像毫秒数（对数）"),
    "channels": ("output channels", "输出通道数"),
    "gate_auc": ("the AUC changes by {measured}, allowed {margin}", "AUC 变化 {measured}，允许 {margin}"),
    "gate_sensitivity": (
        "the sensitivity changes by {measured}, allowed {margin}",
        "灵敏度变化 {measured}，允许 {margin}",
    ),
    "gate_lost": (
        "{measured} positive films are lost, allowed {margin} of so few",
        "丢失 {measured} 张阳性影像，样本少时允许 {margin} 张",
    ),
    "gate_parity": (
        "it differs from PyTorch by {measured}, allowed {margin}",
        "与 PyTorch 相差 {measured}，允许 {margin}",
    ),
    "gate_explanation": (
        "its map agrees with Grad-CAM by a rank correlation of {measured}, at least {margin} wanted",
        "激活图与 Grad-CAM 的秩相关为 {measured}，要求至少 {margin}",
    ),
    "gate_shipped_parity": (
        "the shipped file differs from the original by up to {measured} of the map's largest cell, allowed {margin}",
        "随包文件与原模型相差最多为热力图最大值的 {measured}，允许 {margin}",
    ),
    "gate_shipped_logits": (
        "the shipped file's logits move by {measured} of their spread, allowed {margin}",
        "随包文件的 logit 偏移为其离散度的 {measured}，允许 {margin}",
    ),
    "gate_shipped_calls": (
        "the shipped file's sensitivity beside the original: {measured}, allowed {margin}",
        "随包文件相对原模型的灵敏度变化：{measured}，允许 {margin}",
    ),
    "gate_golden": (
        "on the golden cases its probability differs from the expected one by {measured}, allowed {margin}",
        "在标准用例上，其概率与应有值相差 {measured}，允许 {margin}",
    ),
    "gate_golden_parity": (
        "on the golden cases its logit differs from PyTorch's by {measured}, allowed {margin}",
        "在标准用例上，其 logit 与 PyTorch 相差 {measured}，允许 {margin}",
    ),
    "gate_speed": (
        "{measured} times as fast as the float file of its runtime, wanted {margin}",
        "速度为同一运行时浮点文件的 {measured} 倍，要求至少 {margin}",
    ),
    "gate_int8_share": (
        "{measured} of its convolutions and products are computed in INT8, wanted {margin}",
        "以 INT8 计算的卷积与矩阵乘法占 {measured}，要求至少 {margin}",
    ),
    "gate_other": ("{gate}: {measured}, allowed {margin}", "{gate}：{measured}，允许 {margin}"),
    "weak_few": (
        "Only {positives} positive films judge it: a rate of 1.000 still allows {missed} in a hundred to be missed.",
        "仅有 {positives} 张阳性影像用于评判：即使率为 1.000，每百例仍可能漏诊 {missed} 例。",
    ),
    "weak_sensitivity": (
        "At the frozen threshold it misses {missed} of {positives} positive films (sensitivity {value}).",
        "在冻结阈值下漏掉 {positives} 张阳性影像中的 {missed} 张（灵敏度 {value}）。",
    ),
    "weak_specificity": (
        (
            "At the frozen threshold it calls {called} of {negatives} films without the finding positive "
            "(specificity {value})."
        ),
        "在冻结阈值下，{negatives} 张无该发现的影像中有 {called} 张被判为阳性（特异度 {value}）。",
    ),
    "weak_group": (
        "Weakest group: {trait} {value} ({n} films), sensitivity {sensitivity}, specificity {specificity}.",
        "最弱亚组：{trait} {value}（{n} 张），灵敏度 {sensitivity}，特异度 {specificity}。",
    ),
    "weak_ece": (
        "Probabilities are off by {ece} on average (expected calibration error; its interval lies too high).",
        "概率平均偏差 {ece}（期望校准误差；其区间偏高）。",
    ),
    "weak_inconclusive": (
        "{count} of {all} files passed without proof: the interval of their loss reaches beyond the margin.",
        "{all} 个文件中有 {count} 个虽通过但证据不足：其损失的区间超出了允许界限。",
    ),
    "weak_recut": (
        (
            "The crop of its input was changed from `{was}` to `{now}` when the network had been trained. The rows "
            "`test` were measured anew with it, by their commands; held-back films, gates and maps were not: {other} "
            "of the {films} films outside the test part are read otherwise now."
        ),
        (
            "网络训练完成后，输入的裁剪方式由 `{was}` 改为 `{now}`。`test` 各行已按新方式用所列命令重新测量；"
            "留出影像、准入检验与热力图各项未重新测量：测试部分以外的 {films} 张影像中有 {other} 张的读取结果因此改变。"
        ),
    ),
    "weak_int8": ("No INT8 file of {runtime} was good enough.", "{runtime} 没有合格的 INT8 文件。"),
    "qat": ("after QAT", "QAT 后"),
    "unseen": ("Sources that were never seen", "从未见过的来源"),
    "unseen_note": (
        (
            "Each row is a network made in the same way without any film of that source, and read on those films. A "
            "clinic whose machine is new to the pack should expect this rather than the numbers above."
        ),
        "每行为以相同方式训练、但未使用该来源任何影像的网络，在该来源影像上的结果。设备未见于训练的诊所应以此为参考，而非上方数字。",
    ),
    "unseen_teacher": (
        (
            "Each row is the teacher, the large network from which the one in this pack learnt, fitted once more "
            "without any film of that source, and read on those films. What the pack's own, small network would do "
            "there was not measured. A clinic whose machine is new to the pack should expect no more than this."
        ),
        (
            "每行为教师网络（本模型包中的小网络由其蒸馏而来）在不使用该来源任何影像的情况下重新训练后，在该来源影像上的结果。"
            "包内小网络在此情形下的表现未经测量。设备未见于训练的诊所，预期不应高于此处数字。"
        ),
    ),
    "elsewhere": ("First: elsewhere", "首先：在其他机构的表现"),
    "elsewhere_nobody": (
        "Nobody has tried this pack on films of another place: how it reads there is not known.",
        "尚无人在其他机构的影像上测试过本模型包：其在别处的表现未知。",
    ),
    "elsewhere_how": (
        (
            "Films of other places, each taken as the box would: refused by age and view as far as the set says them, "
            "by quality, and where it looks unlike what the pack learnt from. Sensitivity and specificity at the "
            "frozen threshold; intervals are 95 %, patients resampled. Expect figures like these, not those of the "
            "home hospital."
        ),
        (
            "其他机构的影像，逐张按本机的方式处理：年龄、体位（数据集有注明时）、质量不符或与学习过的影像差异过大者不予判读。"
            "灵敏度与特异度取自冻结阈值；区间为 95 %，按患者自助抽样。请以此为预期，而非来源医院的数字。"
        ),
    ),
    "wrong": ("wrong", "判错的比例"),
    "films_of": ("films of", "影像来源"),
    "with_a_number": ("with a number", "有数值者"),
    "all_films": ("all", "全部"),
    "get_a_number": ("get a number", "得到数值的比例"),
    "refused_elsewhere": ("{source}: refused: {counts}.", "{source}：不予判读：{counts}。"),
    "set_aside": (
        "{source}: {count} films set aside: of patients that the pack knows from home, or copies.",
        "{source}：剔除 {count} 张：其患者或影像已见于来源数据。",
    ),
    "why_no_film": ("there is no film", "没有影像"),
    "why_no_negative": ("no film is without the finding", "没有阴性影像"),
    "why_no_positive": ("no film shows the finding", "没有阳性影像"),
    "why_no_number": ("no film gets a number", "没有影像得到数值"),
    "left_out": ("left out", "未参与训练的来源"),
    "network": ("network", "网络"),
    "teacher": ("teacher", "教师网络"),
    "same_kind": ("as in the pack", "与包内相同"),
    "learnt_from": ("films learnt from", "训练影像数"),
    "weak_unseen": (
        "Where it never saw the source ({trait} {value}, {n} films), its AUC is {auc}.",
        "对从未见过的来源（{trait} {value}，{n} 张），AUC 为 {auc}。",
    ),
    "weak_unseen_teacher": (
        (
            "Where its teacher never saw the source ({trait} {value}, {n} films), the teacher's AUC is {auc}; the "
            "pack's own network was not tried so."
        ),
        "对其教师网络从未见过的来源（{trait} {value}，{n} 张），教师网络的 AUC 为 {auc}；包内网络未作此项测试。",
    ),
    "weak_useless": (
        "At no threshold is acting on it better than treating all or none.",
        "任何阈值下，按模型行动都不优于全部处理或全不处理。",
    ),
}


def pair(key: str, **values: object) -> tuple[str, str]:
    """A word or sentence in English and Chinese, its values filled in."""
    english, chinese = CATALOGUE[key]
    return english.format(**values), chinese.format(**values)


def both(english: str, chinese: str) -> Markup:
    """HTML that shows one of two texts."""
    # The standard library's escape: reports that were made before must hold the same bytes (weak_section.rewrite).
    if english == chinese:
        return Markup(escape(english))
    return Markup(
        f'<span class="en" lang="en">{escape(english)}</span><span class="zh" lang="zh">{escape(chinese)}</span>'
    )


def say(key: str, **values: object) -> Markup:
    """HTML of a word or sentence of the catalogue."""
    return both(*pair(key, **values))
