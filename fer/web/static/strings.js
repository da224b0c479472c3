// All words of the page, from one file. Those of index.html are filled in by the server.

const words = await (await fetch("/static/strings.json")).json();
const plurals = new Intl.PluralRules(words.language);

// The words of a key, with values in place of {names}; `count` chooses the plural form where there are several.
export function text(key, values = {}) {
  const form = words[key];
  const chosen = typeof form === "string" ? form : (form[plurals.select(values.count)] ?? form.other);
  return chosen.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}
