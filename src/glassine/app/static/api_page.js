// The description of the API, out of /openapi.json, without any library.

import { $, h } from "./dom.js";

const description = await (await fetch("/openapi.json")).json();
const resolve = (schema) => {
  const name = schema?.$ref?.split("/").pop();
  return name ? description.components.schemas[name] : schema || {};
};

function kind(schema) {
  if (schema.$ref) return kind(resolve(schema));
  if (schema.anyOf) return schema.anyOf.map(kind).join(" or ");
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  if (schema.contentMediaType || schema.format === "binary") return "file";
  if (schema.type === "array") return `list of ${kind(schema.items || {})}`;
  const range = [["minimum", "≥"], ["maximum", "≤"], ["exclusiveMaximum", "<"], ["maxLength", "length ≤"]]
    .filter(([name]) => schema[name] !== undefined).map(([name, sign]) => `${sign} ${schema[name]}`).join(", ");
  return `${schema.type || "any"}${range ? ` ${range}` : ""}`;
}

const row = (name, where, schema, required, says) => h("tr", {}, h("td", {}, h("code", {}, name)), h("td", {}, where), h("td", {}, kind(schema)),
  h("td", {}, required ? "required" : schema.default === undefined ? "" : JSON.stringify(schema.default)), h("td", {}, says || schema.description || ""));

function fields(operation) {
  const rows = (operation.parameters || []).map((one) => row(one.name, one.in, one.schema, one.required, one.description));
  for (const [type, content] of Object.entries(operation.requestBody?.content || {})) {
    const schema = resolve(content.schema);
    const where = type.includes("json") ? "JSON" : "form";
    for (const [name, one] of Object.entries(schema.properties || {})) rows.push(row(name, where, one, (schema.required || []).includes(name)));
  }
  if (!rows.length) return h("p", { class: "soft" }, "No parameters.");
  return h("div", { class: "table" }, h("table", {}, h("thead", {}, h("tr", {},
    ...["name", "in", "kind", "default", "meaning"].map((one) => h("th", { scope: "col" }, one)))), h("tbody", {}, ...rows)));
}

$("example").textContent = `curl -F file=@in.gif ${location.origin}/v1/cutout -o out.webp`;
$("endpoints").replaceChildren(...Object.entries(description.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => h("details", {},
    h("summary", {}, h("span", { class: "method" }, method.toUpperCase()), h("code", {}, path), ` ${operation.summary}`),
    h("p", {}, operation.description || ""), fields(operation),
    h("p", { class: "soft small" }, "Status codes: ", Object.entries(operation.responses).map(([code, one]) => `${code} ${one.description}`).join("; "))))));
