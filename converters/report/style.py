"""How the report looks, on a screen and on paper.  The language is switched without a script."""

STYLE = """
:root{color-scheme:light}
*{box-sizing:border-box}
body{margin:0;background:#f4f5f6;color:#24292f;font:15px/1.55 system-ui,
-apple-system,"Segoe UI","Noto Sans","Noto Sans SC",
"Microsoft YaHei","PingFang SC","DejaVu Sans",sans-serif}
main{max-width:1080px;margin:0 auto;padding:18px 20px 60px}
header{padding:14px 0 6px}
h1{font-size:27px;line-height:1.25;margin:0 0 4px}
h2{font-size:17px;margin:0 0 10px}
.sub{color:#57606a;margin:0}
.warn{background:#fff4e5;border-left:4px solid #c2571a;padding:9px 13px;margin:14px 0 4px}
section{background:#fff;border:1px solid #e1e5e9;border-radius:8px;padding:16px 20px;margin:16px 0}
.weak,.elsewhere{border-top:4px solid #c2571a}
.weak li{margin:5px 0}
.pairs{display:grid;grid-template-columns:repeat(auto-fit,minmax(420px,1fr));gap:16px;align-items:start}
.pairs section{margin:0}
.maps{display:grid;grid-template-columns:repeat(auto-fit,minmax(170px,1fr));gap:14px;margin-top:12px}
ul{margin:0;padding-left:20px}
svg{display:block;width:100%;height:auto;font-family:inherit}
.note{color:#57606a;font-size:13px;margin:6px 0 8px}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:13px;font-variant-numeric:tabular-nums}
th{text-align:left;font-weight:600;color:#57606a;vertical-align:bottom;line-height:1.3}
th,td{padding:6px 8px 6px 0;border-bottom:1px solid #e8ebee}
td{vertical-align:top}
td small{white-space:nowrap}.tried small{white-space:normal}
td small,li small{display:block;color:#66707b;font-size:11.5px}
b.passed{color:#2f6f2f}b.inconclusive{color:#9a6700}b.refused{color:#b42318}
code{background:#e9ecef;padding:1px 5px;border-radius:4px}
input[name=language]{position:absolute;opacity:0}
nav{max-width:1040px;margin:0 auto;padding:12px 20px 0;text-align:right}
nav label{padding:4px 12px;cursor:pointer;border:1px solid #d0d7de;background:#fff}
nav label:first-child{border-radius:6px 0 0 6px}nav label:last-child{border-radius:0 6px 6px 0;border-left:0}
#en:checked~nav label[for=en],#zh:checked~nav label[for=zh]{background:#24292f;color:#fff}
#en:focus-visible~nav label[for=en],#zh:focus-visible~nav label[for=zh]{outline:2px solid #1f6f8b}
.zh{display:none}
#zh:checked~main .zh{display:inline}
#zh:checked~main .en{display:none}
@media (max-width:520px){.pairs{grid-template-columns:1fr}}
@media print{body{background:#fff}nav{display:none}section{break-inside:avoid}}
"""
