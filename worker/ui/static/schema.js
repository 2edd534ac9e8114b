// What an OpenAPI document says -> text that people read: schemas, JSON, operations by tag, the path of a request. Pure.

/** The text of a schema of the document; objects that contain themselves are named where they occur again. */
export function schemaText(schema, document, indent = "", within = []) {
  if (schema.$ref) {
    const name = schema.$ref.split("/").at(-1);
    if (within.includes(name)) return name;
    return schemaText(document.components?.schemas?.[name] ?? {}, document, indent, [...within, name]);
  }
  const inner = (each, more = indent) => schemaText(each, document, more, within);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ") || "none";
  if (schema.anyOf) return [...new Set(schema.anyOf.map((each) => inner(each)))].join(" | ");
  if (schema.type === "array") {
    const each = inner(schema.items ?? {});
    const fixed = schema.minItems && schema.minItems === schema.maxItems && schema.maxItems < 5;
    return `[${fixed ? Array(schema.maxItems).fill(each).join(", ") : `${each}, …`}]`;
  }
  if (schema.properties) return fields(schema, indent, inner);
  if (schema.type === "object") return schema.additionalProperties ? `{ name: ${inner(schema.additionalProperties)} }` : "object";
  return schema.type ?? "anything";
}

function fields(schema, indent, inner) {
  const more = `${indent}  `;
  const lines = Object.entries(schema.properties).map(([name, each]) => {
    const needed = (schema.required ?? []).includes(name) ? "" : "?";
    const says = each.description ? `  // ${each.description.split("\n")[0]}` : "";
    return `${more}${name}${needed}: ${inner(each, more)}${says}`;
  });
  return `{\n${lines.join("\n")}\n${indent}}`;
}

/** A value as JSON on lines of its own, but lists of numbers and texts on one line. */
export function jsonText(value) {
  return JSON.stringify(value, null, 2).replace(/\[\n\s+([^[\]{}]*?)\s+\]/g, (_, inner) => `[${inner.replace(/\n\s+/g, " ")}]`);
}

/** The operations of an OpenAPI document by tag: [[tag, [operation, ...]], ...], with `method` and `path` in each. */
export function byTag(document) {
  const groups = new Map();
  for (const [path, item] of Object.entries(document.paths ?? {})) {
    for (const [method, operation] of Object.entries(item)) {
      const tag = operation.tags?.[0] ?? "other";
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push({ method: method.toUpperCase(), path, ...operation });
    }
  }
  return [...groups];
}

/** The path of a request: variables filled in, parameters of the query that are not empty appended. */
export function target(path, parameters, values) {
  const query = new URLSearchParams();
  for (const { name, in: place } of parameters) {
    if (place === "path") path = path.replace(`{${name}}`, encodeURIComponent(values[name] ?? ""));
    if (place === "query" && values[name]) query.set(name, values[name]);
  }
  return query.size ? `${path}?${query}` : path;
}
