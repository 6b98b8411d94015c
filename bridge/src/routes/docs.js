"use strict";
// Shows openapi.json: routes by tag, schemas by name. Everything is set as text, nothing as HTML.

function element(name, text, ...children) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
}

function schemaName(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.type === "array") return `${schemaName(schema.items)}[]`;
  const any = schema.oneOf || schema.anyOf || schema.allOf;
  if (any) return any.map(schemaName).filter(Boolean).join(" | ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  return [].concat(schema.type || "any").join(" | ");
}

function bodyName(content) {
  return Object.entries(content || {}).map(([type, body]) => `${schemaName(body.schema)} (${type})`).join(", ");
}

function route(path, method, operation) {
  const summary = element("summary", "", element("b", method.toUpperCase()), element("code", path));
  const table = element("table");
  const row = (what, value) => table.append(element("tr", "", element("td", what), element("td", value)));
  for (const parameter of operation.parameters || []) {
    const need = parameter.required ? ", required" : "";
    row(`${parameter.in}: ${parameter.name}`, `${schemaName(parameter.schema)}${need}. ${parameter.description || ""}`);
  }
  if (operation.requestBody) row("body", bodyName(operation.requestBody.content));
  for (const [status, answer] of Object.entries(operation.responses || {})) {
    row(status, [bodyName(answer.content), answer.description].filter(Boolean).join(": "));
  }
  const words = [operation.summary, operation.description].filter(Boolean).join(" ");
  const details = element("details", "", summary, element("p", words), table);
  details.dataset.search = `${method} ${path} ${words}`.toLowerCase();
  return details;
}

async function show() {
  const response = await fetch("/docs/openapi.json");
  if (!response.ok) throw new Error(`openapi.json: ${response.status}`);
  const api = await response.json();
  document.getElementById("about").textContent = `Version ${api.info.version}. ${api.info.description || ""}`;
  const tags = new Map();
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = (operation.tags || ["other"])[0];
      if (!tags.has(tag)) tags.set(tag, []);
      tags.get(tag).push(route(path, method, operation));
    }
  }
  const routes = document.getElementById("routes");
  for (const [tag, list] of tags) routes.append(element("h3", tag), ...list);
  const schemas = document.getElementById("schemas");
  for (const [name, schema] of Object.entries(api.components.schemas).sort()) {
    const details = element("details", "", element("summary", name), element("pre", JSON.stringify(schema, null, 2)));
    details.dataset.search = name.toLowerCase();
    schemas.append(details);
  }
}

document.getElementById("filter").addEventListener("input", (event) => {
  const wanted = event.target.value.toLowerCase();
  for (const details of document.querySelectorAll("details")) details.hidden = !details.dataset.search.includes(wanted);
});

show().catch((problem) => {
  document.getElementById("about").textContent = `The API's description can't be loaded: ${problem.message}. Reload to try again.`;
});
