// The box page comes again by itself, soon while the examination is under way.

setTimeout(() => location.reload(), Number(document.getElementById("box").dataset.reload));
