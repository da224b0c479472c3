// Results as a table: the columns of the command line's result files, which the server names.

const MOST = 200_000; // rows that a page keeps

export class Rows {
  // `images` adds what a second model says: it labels images only.
  constructor({ columns, labels, uncertain_below, compared }, { images = false } = {}) {
    const second = images && compared ? ["compared_label", "compared_confidence"] : [];
    this.columns = [...columns, ...(uncertain_below === null ? [] : ["uncertain"]), ...labels, ...second];
    this.lines = [];
  }

  get full() {
    return this.lines.length >= MOST;
  }

  // Adds the rows of one image or frame; without a result the status says "unreadable".
  add(source, answer, index = 0, seconds = null) {
    if (this.full) return;
    const common = { source, index, seconds: seconds === null ? "" : Math.round(1000 * seconds) / 1000 };
    if (!answer?.faces.length) this.write({ ...common, status: answer ? "no_face" : "unreadable" });
    answer?.faces.forEach((face, number) => {
      const uncertain = face.uncertain ? "True" : "False";
      const second = { compared_label: face.compared?.label, compared_confidence: face.compared?.confidence };
      this.write({ ...common, status: "ok", ...face, ...face.probabilities, ...second, face: number, uncertain });
    });
  }

  write(row) {
    this.lines.push(this.columns.map((name) => quoted(row[name])).join(","));
  }

  csv() {
    return new Blob([[this.columns.map(quoted).join(","), ...this.lines, ""].join("\n")], { type: "text/csv" });
  }
}

// Spreadsheets take text that begins so for a formula; none of the numbers here does.
const FORMULA = /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/;

function quoted(value) {
  let text = String(value ?? "");
  if (FORMULA.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
